// Package planner is a small project-management web app: server-rendered, in
// memory, without scripts. It is an app as any other. The regions of its pages
// that its authors consider worth changing carry a data-surface attribute, and
// that is all it has to do with whatever may stand in front of it.
//
// Anyone may be anyone: the app believes the cookies planner_user and
// planner_team. It is made to be looked at, not to keep secrets.
package planner

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
)

//go:embed pages/*.html
var pagesFS embed.FS

//go:embed static
var staticFS embed.FS

// maxForm bounds the body of a posted form, in bytes.
const maxForm = 64 << 10

// New returns the app with nothing in it yet. The handler is safe for
// concurrent use, keeps a bounded amount of state, and answers a request with
// the same bytes as long as that state is the same.
func New() http.Handler {
	a := &app{
		pages:    parsePages(),
		projects: newShelf[project](),
		reports:  newShelf[report](),
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", cached(http.FileServerFS(staticFS)))

	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /pricing", a.pricing)
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("POST /login", a.signIn)
	mux.HandleFunc("POST /logout", a.signOut)
	mux.HandleFunc("GET /start", a.member(a.start))

	mux.HandleFunc("GET /projects", a.member(a.listProjects))
	mux.HandleFunc("POST /projects", a.member(a.createProject))
	mux.HandleFunc("GET /projects/{id}", a.member(a.showProject))
	mux.HandleFunc("POST /projects/{id}/tasks", a.member(a.addTask))
	mux.HandleFunc("POST /projects/{id}/invitations", a.member(a.invite))

	mux.HandleFunc("GET /import", a.member(a.importForm))
	mux.HandleFunc("POST /import", a.member(a.importTasks))
	mux.HandleFunc("GET /import/problems/{code}", a.member(a.importProblem))
	mux.HandleFunc("GET /import/done", a.member(a.importDone))

	mux.HandleFunc("GET /reports", a.member(a.listReports))
	mux.HandleFunc("POST /reports", a.member(a.createReport))
	mux.HandleFunc("GET /reports/{id}", a.member(a.showReport))
	mux.HandleFunc("POST /reports/{id}/schedule", a.member(a.scheduleReport))
	mux.HandleFunc("POST /reports/{id}/export", a.member(a.exportReport))

	mux.HandleFunc("GET /setup", a.member(a.beginSetup))
	mux.HandleFunc("GET /setup/{step}", a.member(a.showStep))
	mux.HandleFunc("POST /setup/{step}", a.member(a.submitStep))
	mux.HandleFunc("POST /setup/finish", a.member(a.finishSetup))
	mux.HandleFunc("POST /setup/abandon", a.member(a.abandonSetup))

	mux.HandleFunc("GET /billing", a.member(a.billing))
	mux.HandleFunc("POST /billing/upgrade", a.member(a.upgrade))
	mux.HandleFunc("POST /billing/cancel", a.member(a.cancelPlan))
	mux.HandleFunc("GET /support", a.member(a.support))
	mux.HandleFunc("POST /support", a.member(a.openTicket))

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		mux.ServeHTTP(w, r)
	})
}

// app is the running app: its parsed pages and its state.
type app struct {
	pages    map[string]*template.Template
	projects *shelf[project]
	reports  *shelf[report]
}

// view is what a page's template is given.
type view struct {
	Title   string
	Section string // of the navigation
	Who     session
	Notice  string
	Problem string // with what was just submitted
	Data    any
}

// parsePages parses every page together with the layout. The pages are part of
// the binary, so that a mistake in them is a programming error.
func parsePages() map[string]*template.Template {
	layout := template.Must(template.ParseFS(pagesFS, "pages/layout.html"))
	entries, err := pagesFS.ReadDir("pages")
	if err != nil {
		panic(err)
	}
	pages := map[string]*template.Template{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name == "layout" {
			continue
		}
		pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(pagesFS, "pages/"+e.Name()))
	}
	return pages
}

// render answers with a page. Nothing is sent unless the whole page could be
// made.
func (a *app) render(w http.ResponseWriter, status int, page string, v view) {
	var b bytes.Buffer
	if err := a.pages[page].ExecuteTemplate(&b, "layout.html", v); err != nil {
		http.Error(w, "this page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "private, no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader has gone; there is no one to tell
}

// missing answers that there is no such page, or none that this team may see.
func (a *app) missing(w http.ResponseWriter, who session) {
	a.render(w, http.StatusNotFound, "missing", view{Title: "Not found", Who: who})
}

// seeOther ends a form's submission. All targets are paths of this app.
func seeOther(w http.ResponseWriter, r *http.Request, path string) {
	http.Redirect(w, r, path, http.StatusSeeOther)
}

// notice returns the sentence that a page shows after an action, by the word
// that the redirect left in the address.
func notice(r *http.Request) string {
	switch r.URL.Query().Get("notice") {
	case "invited":
		return "Invitation sent. They will find this project as soon as they sign in."
	case "scheduled":
		return "Scheduled. The report goes out every Monday at 8:00."
	case "upgraded":
		return "Thank you. Your workspace is now on the Team plan."
	case "cancelled":
		return "Your trial has been cancelled. Your projects stay readable for 30 days."
	case "ready":
		return "Your workspace is ready."
	case "later":
		return "Setup was set aside. You will find it under Settings."
	case "ticket":
		return "We have your message and answer within a working day."
	}
	return ""
}

func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		h.ServeHTTP(w, r)
	})
}
