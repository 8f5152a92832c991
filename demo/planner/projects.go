package planner

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// What a project may hold.
const (
	maxName    = 80 // bytes
	maxTasks   = 60
	maxMembers = 25
)

type project struct {
	ID      int
	Name    string
	Tasks   []task
	Members []string // who was invited, by address
}

type task struct {
	Title  string
	Column string // one of columns
	Due    string
}

func columns() []string { return []string{"To do", "Doing", "Done"} }

// In lists the project's tasks of one column.
func (p project) In(column string) []task {
	var in []task
	for _, t := range p.Tasks {
		if t.Column == column {
			in = append(in, t)
		}
	}
	return in
}

// Percent is the share of the tasks that are done.
func (p project) Percent() int {
	if len(p.Tasks) == 0 {
		return 0
	}
	return 100 * len(p.In("Done")) / len(p.Tasks)
}

// newProject is what a project starts with.
func newProject(id int, name string) project {
	return project{ID: id, Name: name, Tasks: []task{
		{"Write down the goal in one sentence", "Doing", "Today"},
		{"Agree on a first milestone", "To do", "Friday"},
		{"List what could go wrong", "To do", "Next week"},
		{"Create the project", "Done", ""},
	}}
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	a.render(w, http.StatusOK, "home", view{Title: "Planner, the calm way to run projects", Who: signedIn(r), Notice: notice(r)})
}

func (a *app) listProjects(w http.ResponseWriter, r *http.Request, who session) {
	a.render(w, http.StatusOK, "projects", view{
		Title: "Projects", Section: "projects", Who: who, Notice: notice(r), Data: a.projects.list(who.Team),
	})
}

func (a *app) createProject(w http.ResponseWriter, r *http.Request, who session) {
	refuse := func(why string) {
		a.render(w, http.StatusUnprocessableEntity, "projects", view{
			Title: "Projects", Section: "projects", Who: who, Problem: why, Data: a.projects.list(who.Team),
		})
	}
	name := strings.TrimSpace(r.PostFormValue("name"))
	if name == "" || len(name) > maxName {
		refuse("A project needs a name of at most 80 characters.")
		return
	}
	id, ok := a.projects.add(who.Team, func(id int) project { return newProject(id, name) })
	if !ok {
		refuse("Your workspace has as many projects as it may have.")
		return
	}
	seeOther(w, r, projectPath(id))
}

func projectPath(id int) string { return "/projects/" + strconv.Itoa(id) }

// projectOf returns the project that the request's path names.
func (a *app) projectOf(r *http.Request, who session) (project, bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return project{}, false
	}
	return a.projects.get(who.Team, id)
}

func (a *app) showProject(w http.ResponseWriter, r *http.Request, who session) {
	p, ok := a.projectOf(r, who)
	if !ok {
		a.missing(w, who)
		return
	}
	a.renderProject(w, http.StatusOK, p, view{Who: who, Notice: notice(r)})
}

func (a *app) renderProject(w http.ResponseWriter, status int, p project, v view) {
	v.Title, v.Section = p.Name, "projects"
	v.Data = struct {
		Project project
		Columns []string
	}{p, columns()}
	a.render(w, status, "project", v)
}

func (a *app) addTask(w http.ResponseWriter, r *http.Request, who session) {
	p, ok := a.projectOf(r, who)
	if !ok {
		a.missing(w, who)
		return
	}
	t := strings.TrimSpace(r.PostFormValue("title"))
	if t == "" || len(t) > maxName || len(p.Tasks) >= maxTasks {
		a.renderProject(w, http.StatusUnprocessableEntity, p, view{Who: who, Problem: "That task could not be added: give it a short title."})
		return
	}
	a.projects.change(who.Team, p.ID, func(p project) project {
		p.Tasks = append(slices.Clip(p.Tasks), task{t, "To do", ""})
		return p
	})
	seeOther(w, r, projectPath(p.ID))
}

func (a *app) invite(w http.ResponseWriter, r *http.Request, who session) {
	p, ok := a.projectOf(r, who)
	if !ok {
		a.missing(w, who)
		return
	}
	email := strings.TrimSpace(r.PostFormValue("email"))
	name, domain, ok := strings.Cut(email, "@")
	if !ok || name == "" || !strings.Contains(domain, ".") || len(email) > maxName || len(p.Members) >= maxMembers {
		a.renderProject(w, http.StatusUnprocessableEntity, p, view{Who: who, Problem: "That does not look like an e-mail address."})
		return
	}
	a.projects.change(who.Team, p.ID, func(p project) project {
		p.Members = append(slices.Clip(p.Members), email)
		return p
	})
	seeOther(w, r, projectPath(p.ID)+"?notice=invited")
}

// importProblems says what can be wrong with an imported file, by code.
func importProblems() map[string]string {
	return map[string]string{
		"unreadable":       "The file is not a table of comma-separated values.",
		"missing-title":    "The file has no column named title.",
		"missing-due-date": "The file has no column named due.",
		"no-tasks":         "The file has a first line, but no tasks below it.",
	}
}

func (a *app) importForm(w http.ResponseWriter, r *http.Request, who session) {
	a.render(w, http.StatusOK, "import", view{Title: "Import tasks", Section: "import", Who: who})
}

func (a *app) importProblem(w http.ResponseWriter, r *http.Request, who session) {
	why, ok := importProblems()[r.PathValue("code")]
	if !ok {
		a.missing(w, who)
		return
	}
	a.render(w, http.StatusOK, "import", view{Title: "Import tasks", Section: "import", Who: who, Problem: why})
}

func (a *app) importDone(w http.ResponseWriter, r *http.Request, who session) {
	a.render(w, http.StatusOK, "imported", view{Title: "Imported", Section: "import", Who: who})
}

func (a *app) importTasks(w http.ResponseWriter, r *http.Request, who session) {
	tasks, problem := readTasks(r.PostFormValue("table"))
	if problem != "" {
		seeOther(w, r, "/import/problems/"+problem)
		return
	}
	_, ok := a.projects.add(who.Team, func(id int) project {
		return project{ID: id, Name: "Imported tasks", Tasks: tasks}
	})
	if !ok {
		seeOther(w, r, "/projects")
		return
	}
	seeOther(w, r, "/import/done")
}

// readTasks reads a table with the columns title and due. A problem is a key
// of importProblems.
func readTasks(table string) (tasks []task, problem string) {
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, "unreadable"
	}
	titles, dues := slices.Index(rows[0], "title"), slices.Index(rows[0], "due")
	switch {
	case titles < 0:
		return nil, "missing-title"
	case dues < 0:
		return nil, "missing-due-date"
	case len(rows) == 1:
		return nil, "no-tasks"
	}
	for _, row := range rows[1:min(len(rows), 1+maxTasks)] {
		tasks = append(tasks, task{row[titles], "To do", row[dues]})
	}
	return tasks, ""
}
