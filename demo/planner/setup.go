package planner

import (
	"net/http"
	"net/url"
	"strings"
)

// step is one page of the setup. Wrong says what is wrong with an answer, or
// is empty.
type step struct {
	ID, Name, Ask, Label, Example string
	Wrong                         func(answer string) string
}

func steps() []step {
	return []step{
		{"workspace", "Workspace", "What should we call your workspace?", "Name", "Analytical Engines", func(s string) string {
			if s == "" || len(s) > maxName {
				return "Please give a name of at most 80 characters."
			}
			return ""
		}},
		{"domain", "Domain", "Which domain do your colleagues' e-mail addresses have?", "Domain", "example.com", func(s string) string {
			if !strings.Contains(strings.Trim(s, "."), ".") || strings.ContainsAny(s, "/@ ") {
				return "We could not find a mail server for that domain."
			}
			return ""
		}},
		{"calendar", "Calendar", "Where is your team's calendar?", "Address", "https://calendar.example.com/team.ics", func(s string) string {
			if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
				return "A calendar address begins with https://."
			}
			return ""
		}},
		{"review", "Review", "That is all we need.", "", "", func(string) string { return "" }},
	}
}

// after returns the step that follows, or the last.
func after(id string) step {
	all := steps()
	for i, s := range all[:len(all)-1] {
		if s.ID == id {
			return all[i+1]
		}
	}
	return all[len(all)-1]
}

func (a *app) beginSetup(w http.ResponseWriter, r *http.Request, _ session) {
	seeOther(w, r, "/setup/workspace")
}

func (a *app) showStep(w http.ResponseWriter, r *http.Request, who session) {
	a.renderStep(w, r, http.StatusOK, view{Who: who})
}

func (a *app) renderStep(w http.ResponseWriter, r *http.Request, status int, v view) {
	for i, s := range steps() {
		if s.ID != r.PathValue("step") {
			continue
		}
		v.Title, v.Section = "Setup", "setup"
		v.Data = struct {
			Steps  []step
			Step   step
			Number int
		}{steps(), s, i + 1}
		a.render(w, status, "setup", v)
		return
	}
	a.missing(w, v.Who)
}

func (a *app) submitStep(w http.ResponseWriter, r *http.Request, who session) {
	id := r.PathValue("step")
	for _, s := range steps() {
		if s.ID != id {
			continue
		}
		if wrong := s.Wrong(strings.TrimSpace(r.PostFormValue("answer"))); wrong != "" {
			a.renderStep(w, r, http.StatusUnprocessableEntity, view{Who: who, Problem: wrong})
			return
		}
		seeOther(w, r, "/setup/"+after(id).ID)
		return
	}
	a.missing(w, who)
}

func (a *app) finishSetup(w http.ResponseWriter, r *http.Request, _ session) {
	seeOther(w, r, "/projects?notice=ready")
}

func (a *app) abandonSetup(w http.ResponseWriter, r *http.Request, _ session) {
	seeOther(w, r, "/projects?notice=later")
}

func (a *app) pricing(w http.ResponseWriter, r *http.Request) {
	a.render(w, http.StatusOK, "pricing", view{Title: "Pricing", Section: "pricing", Who: signedIn(r)})
}

func (a *app) billing(w http.ResponseWriter, r *http.Request, who session) {
	a.render(w, http.StatusOK, "billing", view{Title: "Billing", Section: "billing", Who: who, Notice: notice(r)})
}

func (a *app) upgrade(w http.ResponseWriter, r *http.Request, _ session) {
	seeOther(w, r, "/billing?notice=upgraded")
}

func (a *app) cancelPlan(w http.ResponseWriter, r *http.Request, _ session) {
	seeOther(w, r, "/billing?notice=cancelled")
}

func (a *app) support(w http.ResponseWriter, r *http.Request, who session) {
	a.render(w, http.StatusOK, "support", view{Title: "Support", Section: "support", Who: who, Notice: notice(r)})
}

func (a *app) openTicket(w http.ResponseWriter, r *http.Request, who session) {
	if strings.TrimSpace(r.PostFormValue("message")) == "" {
		a.render(w, http.StatusUnprocessableEntity, "support", view{Title: "Support", Section: "support", Who: who, Problem: "Please say in a few words what is wrong."})
		return
	}
	seeOther(w, r, "/support?notice=ticket")
}
