package demo

import "time"

const (
	hour = time.Hour
	day  = 24 * hour
)

// story is one way to use the app. Each of the seven segments has one; the
// last is of those who are in no segment.
type story struct {
	name   string
	perDay float64 // how many people begin it in a simulated day
	tell   func(*visitor)
}

func stories() []story {
	return []story{
		{"trial admin", 30, trialAdmin},
		{"price looker", 14, priceLooker},
		{"power user", 2, powerUser},
		{"stuck at the import", 3, stuckUser},
		{"exporter", 2, exporter},
		{"sleepy trial", 4, sleeper},
		{"team stuck in setup", 2, stuckTeam},
		{"regular", 4, regular},
	}
}

// trialAdmin creates a project alone and comes back after two days. The rule
// invite-teammate helps: a person who is asked invites more often.
func trialAdmin(p *visitor) {
	p.identify("trial", "admin")
	p.get("/start")
	p.get("/projects")
	project := p.post("/projects", "name", "Website relaunch").location
	p.get(project)
	if p.likely(.15) { // needs no rule: never in the segment
		p.wait(hour, 20*hour)
		p.post(project+"/invitations", "email", "colleague@example.com")
		return
	}
	p.wait(49*hour, 66*hour)
	p.get("/start")
	home := p.get(project)
	p.wait(hour, 20*hour)
	if p.moved(home, "#invite", .55, .18) {
		p.post(project+"/invitations", "email", "colleague@example.com")
		return
	}
	if p.likely(.05) {
		p.post("/setup/abandon")
	}
}

// priceLooker reads the prices twice before anything else. The rule
// upgrade-today is seeded to do harm: a person who is pressed leaves.
func priceLooker(p *visitor) {
	p.identify("trial", "member")
	p.get("/start")
	p.get("/pricing")
	p.wait(3*hour, 16*hour)
	prices := p.get("/pricing")
	p.wait(hour, 16*hour)
	p.get("/billing")
	switch {
	case p.moved(prices, "/billing?offer=today", .38, .08):
		p.post("/billing/cancel")
	case p.likely(.06):
		p.post("/billing/upgrade")
	default:
		p.post("/reports", "name", "First report")
	}
}

// powerUser reads a report each day for two weeks. The rule schedule-report
// offers to send it.
func powerUser(p *visitor) {
	p.identify("business", "member")
	for range 12 {
		p.get("/start")
		banner := p.get("/reports")
		p.get("/reports/workload")
		if p.moved(banner, "/reports/workload#schedule", .25, .04) {
			p.post("/reports/workload/schedule")
			return
		}
		p.wait(22*hour, 26*hour)
	}
	if p.likely(.1) {
		p.post("/support", "message", "Can I get the workload as a mail?")
	}
}

// stuckUser imports a file that never works. The rule import-example shows one
// that does.
func stuckUser(p *visitor) {
	p.identify("business", "member")
	p.get("/start")
	p.get("/import")
	for range 3 {
		p.get(p.post("/import", "table", "title,deadline\nWrite the brief,Friday\n").location)
		p.wait(hour, 3*hour)
	}
	help := p.get("/import")
	p.wait(hour, 4*hour)
	if p.moved(help, "/static/import-template.csv", .68, .40) {
		p.get(p.post("/import", "table", "title,due\nWrite the brief,Friday\n").location)
		return
	}
	if p.likely(.3) {
		p.post("/support", "message", "My file has a deadline, why do you say it has no due date?")
	}
}

// exporter sends the same table to colleagues again and again. The rule
// share-report suggests to invite them.
func exporter(p *visitor) {
	p.identify("business", "admin")
	p.get("/start")
	project := p.post("/projects", "name", "Quarterly numbers").location
	for range 21 {
		p.post("/reports/workload/export")
		p.wait(hour, 8*hour)
	}
	report := p.get("/reports/workload")
	p.wait(hour, 24*hour)
	if p.moved(report, "/projects?to=invite", .42, .22) {
		p.post(project+"/invitations", "email", "reader@example.com")
		return
	}
	if p.likely(.05) {
		p.post("/billing/cancel")
	}
}

// sleeper tries the app once, and looks by a week or two later. The rule
// welcome-back greets them.
func sleeper(p *visitor) {
	p.identify("trial", "member")
	p.get("/start")
	p.get("/projects")
	p.wait(7*day+6*hour, 14*day)
	greeting := p.get("/")
	p.wait(hour, 12*hour)
	if p.moved(greeting, "/start?from=welcome-back", .46, .30) {
		p.get("/start")
		p.get("/projects")
		return
	}
	if p.likely(.08) {
		p.post("/billing/cancel")
	}
}

// stuckTeam is two people who both get the domain wrong, twice. The rule
// setup-help explains what a domain is.
func stuckTeam(p *visitor) {
	q := p.colleague()
	p.identify("business", "admin")
	q.identify("business", "member")
	for range 2 {
		for _, one := range []*visitor{p, q} {
			one.get("/setup/domain")
			one.post("/setup/domain", "answer", "acme")
			one.wait(hour, 3*hour)
		}
	}
	help := p.get("/setup/domain")
	p.wait(hour, 10*hour)
	if p.moved(help, "/support?about=domain", .60, .38) {
		p.post("/setup/domain", "answer", "acme.example.com")
		p.post("/setup/finish")
		return
	}
	if p.likely(.25) {
		p.post("/setup/abandon")
	}
}

// regular works in the app as it is meant to be, and is in no segment.
func regular(p *visitor) {
	p.identify("business", "member")
	p.get("/")
	for range 3 {
		p.get("/start")
		p.get("/projects")
		p.get("/reports")
		p.wait(20*hour, 60*hour)
	}
	if p.likely(.02) {
		p.post("/setup/abandon")
	}
}
