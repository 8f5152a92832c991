package planner

import (
	"net/http"
	"net/url"
	"strings"
)

// The cookies that say who a request is from, and for which team.
const (
	UserCookie = "planner_user"
	TeamCookie = "planner_team"
)

// Person is one of the people whom the sign-in page offers.
type Person struct {
	ID   string // the value of UserCookie
	Name string
	Team string // the value of TeamCookie
	Role string // "admin" or "member"
	Plan string // "trial" or "business"
}

// People lists whom the sign-in page offers: each works in a team of their
// own.
func People() []Person {
	return []Person{
		{"ada", "Ada", "analytical-engines", "admin", "trial"},
		{"ben", "Ben", "lighthouse-studio", "admin", "trial"},
		{"chloe", "Chloe", "copper-kettle", "admin", "trial"},
		{"dmitri", "Dmitri", "north-harbour", "admin", "trial"},
		{"emeka", "Emeka", "paper-lanterns", "admin", "trial"},
		{"freya", "Freya", "fjord-and-field", "admin", "trial"},
		{"gita", "Gita", "mango-street", "admin", "trial"},
		{"hugo", "Hugo", "velo-atelier", "admin", "trial"},
		{"ines", "Ines", "quinta-verde", "admin", "trial"},
		{"jun", "Jun", "small-orchard", "admin", "trial"},
		{"kaya", "Kaya", "blue-kiln", "admin", "trial"},
		{"liam", "Liam", "harvest-road", "admin", "trial"},
		{"mona", "Mona", "grand-avenue", "member", "business"},
		{"noor", "Noor", "river-press", "member", "business"},
	}
}

// session is who is signed in. The zero value is nobody.
type session struct{ User, Team string }

// member lets a request through if someone is signed in, and asks for a
// sign-in if not.
func (a *app) member(h func(http.ResponseWriter, *http.Request, session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who := signedIn(r)
		if who == (session{}) {
			seeOther(w, r, "/login?next="+url.QueryEscape(r.URL.Path))
			return
		}
		h(w, r, who)
	}
}

// signedIn reads the cookies. Values that this app would not have set are
// nobody's.
func signedIn(r *http.Request) session {
	user, err := r.Cookie(UserCookie)
	if err != nil || !slug(user.Value) {
		return session{}
	}
	team, err := r.Cookie(TeamCookie)
	if err != nil || !slug(team.Value) {
		return session{}
	}
	return session{user.Value, team.Value}
}

// slug says whether s is made of 1 to 64 lower-case letters, digits and
// hyphens.
func slug(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Name is the person's name for display.
func (s session) Name() string { return title(s.User) }

// TeamName is the team's name for display.
func (s session) TeamName() string { return title(s.Team) }

// Initial is the letter of the person's badge.
func (s session) Initial() string { return strings.ToUpper(s.User[:1]) }

// title makes a name of a slug: "blue-kiln" is "Blue Kiln".
func title(slug string) string {
	words := strings.FieldsFunc(slug, func(r rune) bool { return r == '-' })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Has("as") {
		a.enter(w, r, q.Get("as"), q.Get("next"))
		return
	}
	a.render(w, http.StatusOK, "login", view{Title: "Sign in", Who: signedIn(r), Data: struct {
		People []Person
		Next   string
	}{People(), local(q.Get("next"))}})
}

func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	a.enter(w, r, r.PostFormValue("as"), r.PostFormValue("next"))
}

// enter signs one of the sample people in.
func (a *app) enter(w http.ResponseWriter, r *http.Request, id, next string) {
	for _, p := range People() {
		if p.ID != id {
			continue
		}
		setCookie(w, UserCookie, p.ID, 0)
		setCookie(w, TeamCookie, p.Team, 0)
		seeOther(w, r, local(next))
		return
	}
	a.render(w, http.StatusUnprocessableEntity, "login", view{Title: "Sign in", Problem: "There is nobody of that name here.", Data: struct {
		People []Person
		Next   string
	}{People(), local(next)}})
}

func (a *app) signOut(w http.ResponseWriter, r *http.Request) {
	setCookie(w, UserCookie, "", -1)
	setCookie(w, TeamCookie, "", -1)
	seeOther(w, r, "/")
}

func setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// local returns next if it is a path of this app, else where everyone starts.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return "/start"
	}
	return next
}

// start is where a sitting begins: a bookmark, a sign-in, the button of the
// home page.
func (a *app) start(w http.ResponseWriter, r *http.Request, _ session) {
	seeOther(w, r, "/projects")
}
