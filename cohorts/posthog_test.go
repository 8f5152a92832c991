package cohorts_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/cohorts"
)

func TestPull(t *testing.T) {
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		puller.Use(project(98))
		time.Sleep(time.Minute)
		if got := k.of("posthog/98"); got != everyone || k.Cohorts()["posthog/98"].Limit != time.Hour {
			t.Fatalf("members %q: %+v", got, k.Cohorts())
		}
		first := len(p.asked())

		time.Sleep(25 * time.Minute) // two looks
		if n := len(p.asked()) - first; n != 2 || k.times() != 1 {
			t.Errorf("of a cohort that is as before, %d requests, and it was replaced %d times", n, k.times())
		}
		if age := k.age("posthog/98"); age > 10*time.Minute {
			t.Errorf("it was last known to be so %s ago", age)
		}

		p.set(func() {
			p.meta[98]["last_calculation"] = "2026-11-28T09:30:00Z"
			p.persons[98] = [][]string{{"bob"}}
		})
		time.Sleep(10 * time.Minute)
		if got := k.of("posthog/98"); got != "bob" {
			t.Errorf("after it was calculated anew: %q", got)
		}
		p.set(func() { p.meta[98]["count"], p.persons[98] = 0, nil })
		time.Sleep(11 * time.Minute)
		if got := k.of("posthog/98"); got != "" || k.times() != 3 {
			t.Errorf("after all have left: %q", got)
		}
		if c := puller.Counts()["posthog/98"]; c.Replaced != 3 || c.Unchanged < 2 || c.Failed != 0 {
			t.Errorf("counted: %+v", c)
		}

		// Who dropped it gets it back, and not an empty one.
		p.set(func() { p.persons[98] = [][]string{{"ann"}} })
		k.drop("posthog/98")
		time.Sleep(11 * time.Minute)
		if got := k.of("posthog/98"); got != "ann" {
			t.Errorf("after it was dropped: %q", got)
		}
	})
}

// TestPullPace: what PostHog allows a team is not used up, whatever there is to
// be read.
func TestPullPace(t *testing.T) {
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.size = 1
		for i := range 1500 {
			p.persons[98] = append(p.persons[98], []string{fmt.Sprint("p", i)})
		}
		p.meta[99], p.persons[99] = p.meta[98], p.persons[98]
		puller.Use(project(98, 99))
		time.Sleep(12 * time.Hour)
		if len(k.Cohorts()) != 2 {
			t.Error("not both were read")
		}
		at := p.asked()
		for window, most := range map[time.Duration]int{time.Minute: 240, time.Hour: 1200} {
			from := 0
			for i := range at {
				for at[i].at-at[from].at >= window {
					from++
				}
				if n := i - from + 1; n > most*3/4+10 {
					t.Fatalf("%d requests in %s", n, window)
				}
			}
		}
	})
}

// TestPullCalculated: pages of two calculations are no membership.
func TestPullCalculated(t *testing.T) {
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.before = func(_ http.ResponseWriter, r *http.Request, n int) bool {
			if n == 3 { // the second page
				p.meta[98]["last_calculation"] = "2026-11-28T09:30:00Z"
				p.persons[98] = [][]string{{"bob"}, {"cid"}, {"dan"}}
			}
			return false
		}
		puller.Use(project(98))
		time.Sleep(5 * time.Minute)
		if got := k.of("posthog/98"); got != "bob cid dan" || k.times() != 1 {
			t.Errorf("%q, replaced %d times", got, k.times())
		}
	})
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.meta[98] = map[string]any{"last_calculation": nil, "is_calculating": true, "count": nil}
		puller.Use(project(98))
		time.Sleep(time.Hour)
		if k.times() != 0 {
			t.Error("a cohort that is calculated for the first time has got members")
		}
	})
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.before = func(_ http.ResponseWriter, _ *http.Request, n int) bool {
			p.meta[98]["last_calculation"] = fmt.Sprint(n)
			return false
		}
		puller.Use(project(98))
		time.Sleep(time.Hour)
		if k.times() != 0 || p.logged("calculated anew faster") != 1 {
			t.Errorf("replaced %d times: %s", k.times(), p.logs())
		}
	})
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.meta[98]["cohort_type"] = "realtime"
		puller.Use(project(98))
		time.Sleep(time.Minute)
		p.set(func() { p.persons[98] = p.persons[98][:1] })
		time.Sleep(11 * time.Minute)
		if got := k.of("posthog/98"); got != "ann ann-device" {
			t.Errorf("a cohort that changes between its calculations: %q", got)
		}
	})
}

// TestPullLater: what can't be had is asked for again, and not before PostHog
// wants it. The pages that were read stay read.
func TestPullLater(t *testing.T) {
	for name, test := range map[string]struct {
		status        int
		after         string
		least, atMost time.Duration
	}{
		"too many requests":       {status: 429, after: "600", least: 10 * time.Minute, atMost: 11 * time.Minute},
		"until a time":            {status: 503, after: "Sat, 01 Jan 2000 00:20:00 GMT", least: 19 * time.Minute, atMost: 21 * time.Minute},
		"for ever":                {status: 429, after: "999999999", least: time.Hour, atMost: 61 * time.Minute},
		"too many, without hint":  {status: 429, least: time.Second / 2, atMost: 3 * time.Second / 2},
		"an error":                {status: 500, least: time.Second / 2, atMost: 3 * time.Second / 2},
		"an answer without pages": {status: 200, least: time.Second / 2, atMost: 3 * time.Second / 2},
		"none":                    {status: 0, least: time.Minute, atMost: 62 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
				p.before = func(w http.ResponseWriter, r *http.Request, n int) bool {
					switch {
					case n != 3:
						return false
					case test.status == 0:
						p.mu.Unlock()
						<-r.Context().Done()
						p.mu.Lock()
						return true
					case test.after != "":
						w.Header().Set("Retry-After", test.after)
					}
					w.WriteHeader(test.status)
					fmt.Fprint(w, `{"detail":"Request was throttled."}`)
					return true
				}
				puller.Use(project(98))
				time.Sleep(2 * time.Hour)
				at := p.asked()
				if pause := at[3].at - at[2].at; at[3].path != at[2].path || pause < test.least || pause > test.atMost {
					t.Errorf("%s, and after %s %s; want it again after %s to %s", at[2].path, pause, at[3].path, test.least, test.atMost)
				}
				if got := k.of("posthog/98"); got != everyone || k.times() != 1 {
					t.Errorf("%q, replaced %d times", got, k.times())
				}
				if c := puller.Counts()["posthog/98"]; c.Failed != 1 {
					t.Errorf("counted: %+v", c)
				}
			})
		})
	}
	// One that never answers well does not keep the others from their turn.
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.before = func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if !strings.Contains(r.URL.Path, "/97/") {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		puller.Use(project(97, 98))
		time.Sleep(24 * time.Hour)
		if got := k.of("posthog/98"); got != everyone {
			t.Errorf("%q", got)
		}
		if n := puller.Counts()["posthog/97"].Failed; n < 500 || n > 24*60*8/10 {
			t.Errorf("%d requests for a cohort that gives errors", n)
		}
		if p.logged("can't be pulled") != 1 {
			t.Errorf("the log says so %d times", p.logged("can't be pulled"))
		}
	})
}

// TestPullRefused: what a person has to mend is asked for rarely, told once, and
// changes no membership.
func TestPullRefused(t *testing.T) {
	for name, test := range map[string]struct {
		refuse func(w http.ResponseWriter, r *http.Request)
		told   string
	}{
		"a key":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401 Unauthorized hint: is the key"},
		"a scope":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "403 Forbidden hint: is the key"},
		"a cohort": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "404 Not Found hint: has the project"},
		"another host": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://eu.posthog.test/", http.StatusFound)
		}, "hint: posthog.host is another: http://eu.posthog.test/"},
		"a key that is repeated": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, strings.Repeat("-", 190)+r.Header.Get("Authorization"), http.StatusForbidden)
		}, "403 Forbidden ---"},
		"a key that is sent along": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://eu.posthog.test/?key="+personalKey)
			w.WriteHeader(http.StatusFound)
		}, "hint: posthog.host is another: http://eu.posthog.test/?key=(the key)"},
		"a deleted cohort": {func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"id": 98, "deleted": true}) }, "the cohort was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
				puller.Use(project(98))
				time.Sleep(time.Minute)
				p.set(func() {
					p.before = func(w http.ResponseWriter, r *http.Request, _ int) bool { test.refuse(w, r); return true }
				})
				before := len(p.asked())
				time.Sleep(6 * time.Hour)
				if n := len(p.asked()) - before; n < 5 || n > 7 {
					t.Errorf("%d requests in six hours", n)
				}
				if k.of("posthog/98") != everyone || k.age("posthog/98") < 6*time.Hour {
					t.Errorf("%q, synced %s ago", k.of("posthog/98"), k.age("posthog/98"))
				}
				if p.logged(test.told) != 1 || strings.Contains(p.logs(), personalKey[:3]) {
					t.Errorf("the log: %s", p.logs())
				}
				p.set(func() { p.before = nil })
				time.Sleep(time.Hour)
				if k.age("posthog/98") > time.Hour || p.logged("is pulled again") != 1 {
					t.Errorf("after it was mended: %s", p.logs())
				}
			})
		})
	}
}

// TestPullNext: no page is looked for on another host, nor one twice.
func TestPullNext(t *testing.T) {
	for _, next := range []string{
		"http://evil.test/api/projects/4711/cohorts/98/persons/?offset=2", "//evil.test/", "http://us.posthog.test:8080/",
		"http://%zz", "?format=json&limit=1000",
	} {
		pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
			p.before = func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if !strings.HasSuffix(r.URL.Path, "/persons/") {
					return false
				}
				answer(w, map[string]any{"next": next, "results": []any{}})
				return true
			}
			puller.Use(project(98))
			time.Sleep(time.Hour)
			if k.times() != 0 || p.logged("can't be pulled") != 1 {
				t.Errorf("next %s: replaced %d times: %s", next, k.times(), p.logs())
			}
		})
	}
}

// TestPullBarren: a cohort whose pages have nobody on them, and never end, holds
// up no other one.
func TestPullBarren(t *testing.T) {
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.meta[99], p.persons[99] = p.meta[98], [][]string{{"eve"}}
		p.before = func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !strings.HasSuffix(r.URL.Path, "/98/persons/") {
				return false
			}
			answer(w, map[string]any{"next": fmt.Sprintf("?offset=%d", n), "results": []any{map[string]any{"distinct_ids": []string{}}}})
			return true
		}
		puller.Use(project(98, 99))
		time.Sleep(time.Hour)
		if got := k.of("posthog/99"); got != "eve" || k.age("posthog/99") > 30*time.Minute {
			t.Errorf("the other cohort has %q, %s old", got, k.age("posthog/99"))
		}
		if k.of("posthog/98") != "" || p.logged("can't be pulled") != 1 || p.logged("have no ids") != 1 {
			t.Errorf("the log: %s", p.logs())
		}
	})
}

// TestPullNonsense: an answer that is none is no empty membership.
func TestPullNonsense(t *testing.T) {
	for path, bodies := range map[string][]string{
		"/98/":      {"<html>Log in</html>", "{}", "[]", `{"id":97}`, `{"id":98,"last_calculation":7}`, ""},
		"/persons/": {"<html>Log in</html>", "{}", "[]", `{"results":null}`, `{"results":[{"distinct_ids":7}]}`, `{"results":[`, `{"results":[], "next": 7}`},
	} {
		for _, body := range bodies {
			pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
				p.before = func(w http.ResponseWriter, r *http.Request, _ int) bool {
					if !strings.HasSuffix(r.URL.Path, path) {
						return false
					}
					fmt.Fprint(w, body)
					return true
				}
				puller.Use(project(98))
				time.Sleep(time.Hour)
				if k.times() != 0 || p.logged("can't be pulled") != 1 {
					t.Errorf("%s answers %s: replaced %d times: %s", path, body, k.times(), p.logs())
				}
			})
		}
	}
}

// TestPullUse: a change of the site is taken as it comes.
func TestPullUse(t *testing.T) {
	pulling(t, func(p *posthog, k *kept, puller *cohorts.Puller) {
		p.meta[99], p.persons[99] = p.meta[98], [][]string{{"eve"}}
		time.Sleep(time.Hour)
		puller.Use(cohorts.PostHog{})
		puller.Use(project(98))
		time.Sleep(time.Minute)
		if k.of("posthog/98") != everyone {
			t.Fatalf("%q", k.of("posthog/98"))
		}
		n := len(p.asked())
		puller.Use(project(98))
		time.Sleep(5 * time.Minute)
		if len(p.asked()) != n {
			t.Error("the same project again is a reason to pull")
		}
		puller.Use(project(99))
		time.Sleep(time.Minute)
		if k.of("posthog/99") != "eve" {
			t.Errorf("%q", k.of("posthog/99"))
		}
		if _, still := puller.Counts()["posthog/98"]; still {
			t.Error("what is not pulled any more is counted")
		}
		puller.Use(cohorts.PostHog{})
		synctest.Wait()
		n = len(p.asked())
		time.Sleep(24 * time.Hour)
		if len(p.asked()) != n {
			t.Error("it goes on without a project")
		}
		puller.Use(project(98, 99))
		puller.Close()
		n = len(p.asked())
		puller.Use(project(99))
		time.Sleep(24 * time.Hour)
		if len(p.asked()) != n {
			t.Error("it goes on after Close")
		}
	})
}
