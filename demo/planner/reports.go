package planner

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
)

// report is a saved question about the team's work. Workload and Velocity are
// there from the start; the others are the team's own.
type report struct {
	ID      string
	Name    string
	About   string
	Heading string
	Bars    []bar
}

type bar struct {
	Label string
	Value int // 0 to 100
}

func builtIn() []report {
	return []report{
		{"workload", "Workload", "Who has how much on their plate this week", "Open tasks by person", []bar{
			{"Design", 62}, {"Engineering", 88}, {"Marketing", 41}, {"Support", 55}, {"Finance", 23},
		}},
		{"velocity", "Velocity", "How many tasks the team finished, week by week", "Tasks finished", []bar{
			{"Week 1", 35}, {"Week 2", 48}, {"Week 3", 44}, {"Week 4", 71}, {"Week 5", 79},
		}},
	}
}

func (a *app) reportsOf(team string) []report { return append(builtIn(), a.reports.list(team)...) }

func (a *app) reportOf(r *http.Request, who session) (report, bool) {
	for _, p := range a.reportsOf(who.Team) {
		if p.ID == r.PathValue("id") {
			return p, true
		}
	}
	return report{}, false
}

func (a *app) listReports(w http.ResponseWriter, r *http.Request, who session) {
	a.render(w, http.StatusOK, "reports", view{
		Title: "Reports", Section: "reports", Who: who, Notice: notice(r), Data: a.reportsOf(who.Team),
	})
}

func (a *app) createReport(w http.ResponseWriter, r *http.Request, who session) {
	refuse := func(why string) {
		a.render(w, http.StatusUnprocessableEntity, "reports", view{
			Title: "Reports", Section: "reports", Who: who, Problem: why, Data: a.reportsOf(who.Team),
		})
	}
	name := strings.TrimSpace(r.PostFormValue("name"))
	if name == "" || len(name) > maxName {
		refuse("A report needs a name of at most 80 characters.")
		return
	}
	id, ok := a.reports.add(who.Team, func(id int) report {
		return report{ID: strconv.Itoa(id), Name: name, About: "Your team's own report", Heading: "Tasks by state", Bars: []bar{
			{"To do", 50}, {"Doing", 25}, {"Done", 25},
		}}
	})
	if !ok {
		refuse("Your workspace has as many reports as it may have.")
		return
	}
	seeOther(w, r, "/reports/"+strconv.Itoa(id))
}

func (a *app) showReport(w http.ResponseWriter, r *http.Request, who session) {
	p, ok := a.reportOf(r, who)
	if !ok {
		a.missing(w, who)
		return
	}
	a.render(w, http.StatusOK, "report", view{Title: p.Name, Section: "reports", Who: who, Notice: notice(r), Data: p})
}

func (a *app) scheduleReport(w http.ResponseWriter, r *http.Request, who session) {
	p, ok := a.reportOf(r, who)
	if !ok {
		a.missing(w, who)
		return
	}
	seeOther(w, r, "/reports/"+p.ID+"?notice=scheduled")
}

func (a *app) exportReport(w http.ResponseWriter, r *http.Request, who session) {
	p, ok := a.reportOf(r, who)
	if !ok {
		a.missing(w, who)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="report-`+p.ID+`.csv"`)
	c := csv.NewWriter(w)
	_ = c.Write([]string{"label", "value"}) // c.Error would tell of a reader that has gone
	for _, b := range p.Bars {
		_ = c.Write([]string{b.Label, strconv.Itoa(b.Value)})
	}
	c.Flush()
}
