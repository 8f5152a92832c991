package proxy

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// use has the proxy serve the shared site with these files in it: name, content
// and so on.
func use(t testing.TB, p *Proxy, files ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/sites/loop")); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	p.Current = func() *rules.Set { return set }
}

// ruleOn is the file of a rule for everyone in the shared site's segments.
func ruleOn(surface, response string) string {
	return fmt.Sprintf(`owner: growth@example.com
segment: exporters
surface: %s
response: %s
metric: {event: Teammate Invited, within: 7d, expect: increase}
guardrail: {event: Setup Abandoned, within: 7d, tolerate: 10%%}
unit: visitor
rollout: {share: 100%%, treatment: 50%%}
expires: 2036-01-01
state: live
`, surface, response)
}

func TestOperations(t *testing.T) {
	const page = `<!DOCTYPE html><html><head><link rel="stylesheet" href="/a.css"></head><body><p>hi</p><main><div class="card" data-surface="x" title="t"><p>old</p></div></main></body></html>`
	const region = `<div class="card" data-surface="x" title="t"><p>old</p></div>`
	for _, c := range []struct{ response, selector, want string }{
		{"{inner: new.html}", "", `<div class="card" data-surface="x" title="t"><b>new</b></div>`},
		{"{outer: new.html}", "", `<b>new</b>`},
		{"{before: new.html}", "", `<b>new</b>` + region},
		{"{after: new.html}", "", region + `<b>new</b>`},
		{"{prepend: new.html}", "", `<div class="card" data-surface="x" title="t"><b>new</b><p>old</p></div>`},
		{"{append: new.html}", "", `<div class="card" data-surface="x" title="t"><p>old</p><b>new</b></div>`},
		{"{text: a<b}", "", `<div class="card" data-surface="x" title="t">a&lt;b</div>`},
		{"{attr: {title: null, lang: sv}}", "", `<div lang="sv" class="card" data-surface="x" ><p>old</p></div>`},
		{"{remove: true}", "", ``},
		{"{auto: new.html}", "", `<div class="card" data-surface="x" title="t"><b>new</b></div>`},
		{"{inner: new.html}", "main > .card:first-child", `<div class="card" data-surface="x" title="t"><b>new</b></div>`},
	} {
		t.Run(c.response+c.selector, func(t *testing.T) {
			edge, s, p := front(t, pageWith(page))
			surface := "pages: [/projects/*]\n"
			if c.selector != "" {
				surface += fmt.Sprintf("select: %q\n", c.selector)
			}
			use(t, p, "surfaces/x.yaml", surface, "responses/new.html", "<b>new</b>", "rules/x.yaml", ruleOn("x", c.response))
			want := map[rules.Arm]string{rules.Treatment: strings.Replace(page, region, c.want, 1), rules.Control: page}
			for arm, want := range want {
				if _, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "x", arm)); body != want {
					t.Errorf("%s sees\n%s, want\n%s", arm, body, want)
				}
			}
			exposed := 0
			for _, x := range s.exposures {
				if x.Rule == "x" {
					exposed++
				}
			}
			if exposed != 2 {
				t.Errorf("exposures: %+v", s.exposures)
			}
		})
	}
}

// TestShadow: a page that a framework takes over keeps the app's children.
func TestShadow(t *testing.T) {
	const page = `<!DOCTYPE html><html><body><p>hi</p><div data-reactroot=""><div data-surface="x"><p>old</p></div></div></body></html>`
	for _, response := range []string{"{shadow: new.html}", "{shadow: new.html, slot: true}", "{auto: new.html}"} {
		edge, s, p := front(t, pageWith(page))
		use(t, p, "responses/new.html", "<b>new</b>", "rules/x.yaml", ruleOn("x", response))
		_, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "x", rules.Treatment))
		inserted := strings.NewReplacer(page[:strings.Index(page, "<p>old")], "", page[strings.Index(page, "<p>old"):], "").Replace(body)
		if !strings.HasPrefix(inserted, `<template shadowrootmode=`) || !strings.HasSuffix(inserted, "</template>") ||
			!strings.Contains(inserted, "<b>new</b>") || strings.Contains(inserted, "<slot>") != strings.Contains(response, "slot") {
			t.Errorf("%s: %s", response, body)
		}
		if i := len(s.exchanges[0].Sightings) - 1; s.exchanges[0].Sightings[i].Operation != rewrite.Shadow {
			t.Errorf("%s: %+v", response, s.exchanges[0].Sightings)
		}
	}
}

// TestTwoRulesOnOneElement: the first rule's change is made, and the other rule
// has not reached its surface, in whichever arms.
func TestTwoRulesOnOneElement(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	use(t, p, "surfaces/x.yaml", "select: body > div\n", "rules/x.yaml", ruleOn("x", "{text: other}"))
	seen := map[string]bool{}
	for i := range 64 {
		v := fmt.Sprint("both", i)
		s.members[v] = true
		_, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v)
		x := s.exchanges[i]
		arms := map[string]rules.Arm{}
		states := map[string]rewrite.Sighting{}
		for j, d := range x.Decision {
			arms[d.Rule.Name], states[d.Rule.Name] = d.Arm, x.Sightings[j]
		}
		seen[string(arms["x"]+arms["invite-teammate"])] = true
		if got := states["x"]; got.State != rewrite.Untouched || got.Reason != rewrite.Nested {
			t.Fatalf("the second is %+v", got)
		}
		if states["invite-teammate"].State != rewrite.Swappable || strings.Contains(body, "Invite a") != (arms["invite-teammate"] == rules.Treatment) || strings.Contains(body, "other") {
			t.Fatalf("%v: %+v, %s", arms, states, body)
		}
	}
	if len(seen) != 4 || len(s.exposures) != 64 {
		t.Errorf("arms %v, %d exposures", seen, len(s.exposures))
	}
	if kept := p.programs.Load(); len(kept.compiled) != 4 {
		t.Errorf("%d programs are kept", len(kept.compiled))
	}
}

// TestProgramsAreKept as long as their revision is served, and not without
// bound.
func TestProgramsAreKept(t *testing.T) {
	_, _, p := front(t, http.NotFoundHandler())
	program := func(set *rules.Set, decision rules.Decision) *rewrite.Program {
		t.Helper()
		got, err := p.program(&Exchange{set: set, Decision: decision})
		if err != nil {
			t.Fatal(err)
		}
		return got.Program
	}
	before := p.Current()
	placed := func(set *rules.Set, arm rules.Arm) rules.Decision {
		return rules.Decision{{Rule: set.Rule("invite-teammate"), Arm: arm}}
	}
	first := program(before, placed(before, rules.Treatment))
	if program(before, placed(before, rules.Treatment)) != first {
		t.Error("the same decision is compiled again")
	}
	if program(before, placed(before, rules.Control)) == first {
		t.Error("the other arm gets the same")
	}
	if stopped := before.Without(func(r *rules.Rule) bool { return r.Name == "schedule-report" }); program(stopped, placed(stopped, rules.Treatment)) != first {
		t.Error("a rollback of another rule is no other revision")
	}

	use(t, p, "responses/invite-teammate.html", "<p>Bring a friend</p>")
	after := p.Current()
	other := program(after, placed(after, rules.Treatment))
	if other == first || len(p.programs.Load().compiled) != 1 {
		t.Error("what was compiled for an earlier revision is kept")
	}
	program(before, placed(before, rules.Treatment)) // a request from before the reload
	if program(after, placed(after, rules.Treatment)) != other {
		t.Error("an earlier revision has driven out the one that is live")
	}

	// The mark is no part of a rule's version.
	use(t, p, "responses/invite-teammate.html", "<p>Bring a friend</p>", "refract.yaml", "origin: http://127.0.0.1:1\nattribute: data-region\n")
	was := after
	after = p.Current()
	if after.Rule("invite-teammate").Version != was.Rule("invite-teammate").Version || program(after, placed(after, rules.Treatment)) == other {
		t.Error("another mark, and the same program")
	}

	for i := range 2*maxPrograms + 1 {
		r := *after.Rule("invite-teammate")
		r.Name = fmt.Sprint("rule", i)
		program(after, rules.Decision{{Rule: &r, Arm: rules.Control}})
		if n := len(p.programs.Load().compiled); n > maxPrograms {
			t.Fatalf("%d programs are kept", n)
		}
	}
}

// TestADecisionThatCannotBeCarriedOut is a defect of ours: the page comes as
// the app made it.
func TestADecisionThatCannotBeCarriedOut(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		edge, s, p := front(t, pageWith(cardPage, "ETag", `"a"`, "Content-Length", fmt.Sprint(len(cardPage))))
		p.Current().Rule("invite-teammate").Response.HTML = []byte("\xff")
		resp, body := do(t, method, edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", rules.Treatment))
		s.wait()
		if method == "GET" && body != cardPage || resp.ContentLength != int64(len(cardPage)) || resp.Header.Get("ETag") != `"a"` || s.exchanges[0].Passthrough != ReasonInternal || len(s.exposures) != 0 {
			t.Errorf("%s: %q, %v, reason %q", method, body, resp.Header, s.exchanges[0].Passthrough)
		}
	}
}

func TestCharsetsThatCannotBeChanged(t *testing.T) {
	utf16 := func(s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			b.Write([]byte{c, 0})
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		contentType, body string
		certain           bool // by the header
	}{
		"by the header":            {"text/html; charset=UTF-16", utf16(cardPage), true},
		"ISO-2022-JP":              {"text/html;charset=iso-2022-jp", cardPage, true},
		"unknown":                  {"text/html; charset=rot13", cardPage, true},
		"by a mark":                {"text/html", "\xff\xfe" + utf16(cardPage), false},
		"by a mark and the header": {"text/html; charset=utf-16le", "\xff\xfe" + utf16(cardPage), true},
		"by a meta":                {"text/html", "<meta charset=iso-2022-jp>" + cardPage, false},
	} {
		for _, coding := range []string{"", "gzip"} {
			t.Run(name+" "+coding, func(t *testing.T) {
				body := c.body
				header := []string{"Content-Type", c.contentType, "ETag", `"a"`}
				if coding != "" {
					body = inCoding(coding, body)
					header = append(header, "Content-Encoding", coding)
				}
				edge, s, p := front(t, pageWith(body, append(header, "Content-Length", fmt.Sprint(len(body)))...))
				for i, arm := range []rules.Arm{rules.Treatment, rules.Control} {
					for j, method := range []string{"GET", "HEAD"} {
						resp, got := do(t, method, edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm), "Accept-Encoding", "gzip, br")
						if method == "GET" && decoded(t, resp, got) != c.body {
							t.Errorf("%s sees %q", arm, got)
						}
						if c.certain && (method == "GET" && got != body || resp.ContentLength != int64(len(body))) {
							t.Errorf("%s %s: %d bytes of %d", arm, method, len(got), len(body))
						}
						if (resp.Header.Get("ETag") == `"a"`) != c.certain {
							t.Errorf("%s %s: %v", arm, method, resp.Header)
						}
						s.wait()
						x := s.exchanges[2*i+j]
						if (c.certain || method == "GET") && (x.Passthrough != ReasonCharset || len(x.Sightings) != 1 || x.Sightings[0].Reason != rewrite.Charset) {
							t.Errorf("%s %s: reason %q, %+v", arm, method, x.Passthrough, x.Sightings)
						}
					}
				}
				if len(s.exposures) != 0 {
					t.Errorf("exposures: %+v", s.exposures)
				}
			})
		}
	}
}

func TestWhyUntouched(t *testing.T) {
	met := func(why rewrite.Reason) rewrite.Sighting {
		return rewrite.Sighting{State: rewrite.Untouched, Reason: why}
	}
	swapped, missing := rewrite.Sighting{State: rewrite.Swappable}, rewrite.Sighting{State: rewrite.Missing}
	for _, c := range []struct {
		found []rewrite.Sighting
		want  Reason
	}{
		{nil, ""},
		{[]rewrite.Sighting{missing, met(rewrite.Nested)}, ""},
		{[]rewrite.Sighting{met(rewrite.Charset), met(rewrite.Charset)}, ReasonCharset},
		{[]rewrite.Sighting{missing, met(rewrite.Charset)}, ReasonCharset},
		{[]rewrite.Sighting{met(rewrite.Internal), met(rewrite.Charset)}, ReasonInternal},
		{[]rewrite.Sighting{met(rewrite.Charset), met(rewrite.Internal)}, ReasonInternal},
		{[]rewrite.Sighting{swapped, met(rewrite.Internal)}, ""}, // the page isn't untouched
		{[]rewrite.Sighting{met(rewrite.Charset), swapped}, ""},
	} {
		if got := whyUntouched(c.found); got != c.want {
			t.Errorf("%+v: %q, want %q", c.found, got, c.want)
		}
	}
}

// TestReadersAreUsedAgain, and what one page was found to have is not told of
// another.
func TestReadersAreUsedAgain(t *testing.T) {
	pages := map[string]string{
		"/projects/card":    cardPage,
		"/projects/none":    "<html><body>no card today</body></html>",
		"/projects/open":    `<html><body><div data-surface="project-home.card">open`,
		"/projects/section": strings.ReplaceAll(cardPage, "div", "section"),
		"/projects/long":    longPage(),
	}
	want := map[string]string{
		"/projects/card": "swappable div", "/projects/none": "missing ", "/projects/open": "untouched div",
		"/projects/section": "swappable section", "/projects/long": "swappable div",
	}
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pageWith(pages[r.URL.Path]).ServeHTTP(w, r)
	}))
	s.ended = make(chan bool, 400)
	treated, control := s.member(p, "invite-teammate", rules.Treatment), s.member(p, "invite-teammate", rules.Control)
	var visits sync.WaitGroup
	for range 4 {
		visits.Go(func() {
			for range 10 {
				for path, page := range pages {
					for _, v := range []string{treated, control} {
						_, body := do(t, "GET", edge+path, "Cookie", "user="+v)
						swapped := v == treated && strings.HasPrefix(want[path], "swappable")
						if strings.Contains(body, "Invite a teammate") != swapped || !swapped && body != page {
							t.Errorf("%s: %.300q", path, body)
						}
					}
				}
			}
		})
	}
	visits.Wait()
	for _, x := range s.exchanges {
		if f := x.Sightings[0]; fmt.Sprint(f.State, " ", f.Element) != want[x.path] {
			t.Errorf("%s: %+v", x.path, f)
		}
	}
}
