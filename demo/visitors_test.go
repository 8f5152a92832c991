package demo

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/demo/planner"
)

const ingest = "/_refract/ingest/segment/v1/batch"

// edge is a transport that answers without a network.
type edge func(user, method, path string, form url.Values) (status int, location, body string)

func (e edge) RoundTrip(r *http.Request) (*http.Response, error) {
	user := "sdk"
	if c, err := r.Cookie(planner.UserCookie); err == nil {
		user = c.Value
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, _ := url.ParseQuery(string(body)) // JSON is no form
	status, location, answer := e(user, r.Method, r.URL.RequestURI(), form)
	header := http.Header{}
	if location != "" {
		header.Set("Location", location)
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: header,
		Body: io.NopCloser(strings.NewReader(answer)), Request: r,
	}, nil
}

// half puts the user on one side of a coin that is the rule's own.
func half(rule, user string) bool {
	h := fnv.New64a()
	fmt.Fprint(h, rule, "\x00", user)
	return h.Sum64()>>20&1 == 0
}

// diary is what each visitor did, in order.
func diary(seed int64, shown bool) map[string][]string {
	var mu sync.Mutex
	all := map[string][]string{}
	v := Visitors{
		Edge: "http://edge.test", Clock: NewClock(), Seed: seed, For: 20 * day,
		Transport: edge(func(user, method, path string, form url.Values) (int, string, string) {
			mu.Lock()
			defer mu.Unlock()
			if user != "sdk" {
				all[user] = append(all[user], method+" "+path+" "+form.Encode())
			}
			if method == "POST" {
				return http.StatusSeeOther, path + "/of-" + user, ""
			}
			if shown && half("any", user) {
				return http.StatusOK, "", `<a href="#invite"><a href="/billing?offer=today">`
			}
			return http.StatusOK, "", ""
		}),
	}
	if err := v.Run(context.Background()); err != nil {
		panic(err)
	}
	return all
}

// TestSameSeedSameLives lets two crowds of one seed live through twenty days.
func TestSameSeedSameLives(t *testing.T) {
	var lives [3]map[string][]string
	for i, seed := range []int64{1, 1, 2} {
		synctest.Test(t, func(t *testing.T) { lives[i] = diary(seed, true) })
	}
	if len(lives[0]) < 100 {
		t.Errorf("only %d visitors in twenty days", len(lives[0]))
	}
	same := func(a, b []string) bool { return slices.Equal(a, b) }
	if !maps.EqualFunc(lives[0], lives[1], same) {
		t.Error("one seed, the same answers, two different histories")
	}
	if maps.EqualFunc(lives[0], lives[2], same) {
		t.Error("two seeds, one history")
	}
}

// TestVisitorsActOnWhatTheySee compares the same people (same seed) who are
// shown two of the responses, and who are not.
func TestVisitorsActOnWhatTheySee(t *testing.T) {
	count := func(shown bool) (invited, cancelled int) {
		synctest.Test(t, func(t *testing.T) {
			for _, did := range diary(3, shown) {
				for _, d := range did {
					if strings.Contains(d, "/invitations") {
						invited++
					}
					if strings.Contains(d, "/billing/cancel") {
						cancelled++
					}
				}
			}
		})
		return invited, cancelled
	}
	invited, cancelled := count(true)
	plainInvited, plainCancelled := count(false)
	if invited < plainInvited*5/4 || cancelled < plainCancelled*2 {
		t.Errorf("shown: %d invited, %d cancelled; not shown: %d and %d", invited, cancelled, plainInvited, plainCancelled)
	}
}

// trial is a stand-in for what the edge does with two of the rules, written
// from the rules' definitions: enough to see whether the crowd is large and
// clear enough for a verdict.
type trial struct {
	app   http.Handler
	clock Clock

	mu              sync.Mutex
	created         map[string]time.Time // first project, if nobody was invited since
	priced          map[string]bool
	invite, price   map[string]bool      // exposed, and whether to the response
	since           map[string]time.Time // of those in invite: the first exposure
	invited, harmed map[string]bool
	rolledBack      time.Duration // on the wall clock since the start; 0: not yet
	priceStopped    bool
}

func newTrial() *trial {
	return &trial{
		app: planner.New(), clock: NewClock(), created: map[string]time.Time{}, priced: map[string]bool{},
		invite: map[string]bool{}, price: map[string]bool{}, since: map[string]time.Time{}, invited: map[string]bool{}, harmed: map[string]bool{},
	}
}

func (e *trial) answer(user, method, path string, form url.Values) (int, string, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if path == ingest {
		return http.StatusOK, "", `{"success":true}`
	}
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(&http.Cookie{Name: planner.UserCookie, Value: user})
	r.AddCookie(&http.Cookie{Name: planner.TeamCookie, Value: "team-of-" + user})
	w := httptest.NewRecorder()
	e.app.ServeHTTP(w, r)
	status, location, body := w.Code, w.Header().Get("Location"), w.Body.String()

	created, alone := e.created[user]
	switch project := strings.HasPrefix(path, "/projects/"); {
	case method == "POST" && path == "/projects":
		if !alone {
			e.created[user] = e.clock.Now()
		}
	case method == "POST" && project:
		delete(e.created, user)
		if _, ok := e.invite[user]; ok {
			e.invited[user] = true
		}
	case project && alone && !e.clock.Now().Before(created.Add(48*hour)):
		if _, before := e.invite[user]; !before {
			e.since[user] = e.clock.Now()
		}
		if e.exposed(e.invite, "invite", user) {
			body += `<a href="#invite">`
		}
	case path == "/pricing" && e.priced[user] && !e.priceStopped:
		if e.exposed(e.price, "price", user) {
			body += `<a href="/billing?offer=today">`
		}
	case path == "/pricing":
		e.priced[user] = true
	case method == "POST" && path == "/billing/cancel":
		if _, ok := e.price[user]; ok {
			e.harmed[user] = true
			e.judge()
		}
	}
	return status, location, body
}

func (e *trial) exposed(to map[string]bool, rule, user string) bool {
	to[user] = half(rule, user)
	return to[user]
}

// counts returns the events and the units of both arms.
func counts(exposed, did map[string]bool) (xT, nT, xC, nC float64) {
	for user, treated := range exposed {
		x := 0.0
		if did[user] {
			x = 1
		}
		if treated {
			xT, nT = xT+x, nT+1
		} else {
			xC, nC = xC+x, nC+1
		}
	}
	return xT, nT, xC, nC
}

// judge rolls the price rule back when the guardrail's evidence reaches 20:
// the mean of five bets, tolerance 10 %, half in treatment, no baseline.
func (e *trial) judge() {
	xT, _, xC, _ := counts(e.price, e.harmed)
	evidence := 0.0
	const r0, rho = 1.1, .5
	for _, k := range []float64{1.1, 1.25, 1.5, 2, 3} {
		t0 := rho * r0 / (rho*r0 + 1 - rho)
		t1 := rho * r0 * k / (rho*r0*k + 1 - rho)
		evidence += math.Pow(t1/t0, xT) * math.Pow((1-t1)/(1-t0), xC) / 5
	}
	if evidence >= 20 && !e.priceStopped {
		e.priceStopped = true
		e.rolledBack = time.Since(e.clock.Start)
	}
}

// lower is the lower end of the always-valid interval of the lift, 95 %,
// planned for 5000 units; NaN while there are fewer than 20 events in an arm.
func lower(xT, nT, xC, nC float64) float64 {
	if xT < 20 || xC < 20 {
		return math.NaN()
	}
	const alpha, r = .05, 0.001587230920
	a, b, n := xT/nT, xC/nC, nT+nC
	se := math.Sqrt((1-a)/xT + (1-b)/xC)
	m := math.Sqrt(n) * math.Sqrt(2*(n*r+1)/(n*n*r)*math.Log(math.Sqrt(n*r+1)/alpha))
	return math.Exp(math.Log(a/b)-m*se) - 1
}

// TestVerdictsWithinAMinute is what the demo promises a newcomer: after less
// than a minute one rule has been rolled back and one visibly helps, judged on those
// whose seven days are over, whatever the seed.
func TestVerdictsWithinAMinute(t *testing.T) {
	const crowds = 3
	helped := 0
	for seed := range int64(crowds) {
		synctest.Test(t, func(t *testing.T) {
			e := newTrial()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
			defer cancel()
			var last Progress
			v := Visitors{
				Edge: "http://edge.test", Clock: e.clock, Seed: seed,
				Transport: edge(e.answer), Progress: func(p Progress) { last = p },
			}
			if err := v.Run(ctx); err != nil || last.Failed > 0 {
				t.Fatalf("seed %d: %v, %+v", seed, err, last)
			}
			if !e.priceStopped {
				t.Errorf("seed %d: upgrade-today rolled back after %v", seed, e.rolledBack)
			}
			end := e.clock.Now()
			maps.DeleteFunc(e.invite, func(user string, _ bool) bool { return end.Sub(e.since[user]) < 7*day })
			xT, nT, xC, nC := counts(e.invite, e.invited)
			if lower(xT, nT, xC, nC) > 0 {
				helped++
			}
			t.Logf("seed %d: %d visitors, %d requests; rolled back after %v; invited %v/%v against %v/%v, lift above %.2f",
				seed, last.Visitors, last.Requests, e.rolledBack.Round(time.Second), xT, nT, xC, nC, lower(xT, nT, xC, nC))
		})
	}
	if helped < crowds {
		t.Errorf("invite-teammate visibly helps in %d of %d crowds", helped, crowds)
	}
}

// TestOverTheWire lets the crowd use the app itself over real connections,
// without an edge: no one meets an error, and no one sees a response.
func TestOverTheWire(t *testing.T) {
	var messages int
	mux := http.NewServeMux()
	mux.Handle("/", planner.New())
	var mu sync.Mutex
	mux.HandleFunc("POST "+ingest, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		messages++
		if key, _, _ := r.BasicAuth(); key != "key" {
			t.Errorf("write key %q", key)
		}
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	clock := NewClock()
	clock.Factor = float64(day / time.Millisecond) // a day is a millisecond
	var last Progress
	v := Visitors{Edge: s.URL, WriteKey: "key", Clock: clock, Seed: 1, For: 6 * day, Progress: func(p Progress) { last = p }}
	if err := v.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if last.Visitors < 100 || last.Present != 0 || last.Failed != 0 || last.Changed != 0 || int64(messages) < last.Visitors {
		t.Errorf("%+v, %d messages", last, messages)
	}
}

// TestFailuresAreToldNotFatal puts the crowd in front of an edge that fails.
func TestFailuresAreToldNotFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last Progress
		v := Visitors{
			Edge: "http://edge.test", Clock: NewClock(), For: 2 * day, Progress: func(p Progress) { last = p },
			Transport: edge(func(string, string, string, url.Values) (int, string, string) { return 502, "", "" }),
		}
		if err := v.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if last.Visitors == 0 || last.Failed != last.Visitors || last.Err == nil {
			t.Errorf("%+v", last)
		}
	})
}

// TestShowcase lets the sample people look at their pages through an edge that
// changes some of them.
func TestShowcase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTrial()
		v := Visitors{Edge: "http://edge.test", Clock: e.clock, Transport: edge(e.answer)}
		seen, err := v.Showcase(t.Context())
		if err != nil || len(seen) != len(planner.People()) {
			t.Fatalf("%d people: %v", len(seen), err)
		}
		own := 0
		for i, s := range seen {
			who := planner.People()[i]
			if s.Response != half("invite", who.ID) || s.Name != who.Name || s.Eligible != (who.Plan == "trial") {
				t.Errorf("%+v", s)
			}
			if !s.Response {
				own++
			}
			if !strings.HasPrefix(s.URL, "http://edge.test/login?as="+who.ID+"&next=%2Fprojects%2F") {
				t.Errorf("link %s", s.URL)
			}
		}
		if own == 0 || own == len(seen) {
			t.Errorf("%d of %d see the app's own page", own, len(seen))
		}
	})
}

// TestClock runs a clock for a minute.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		c := Clock{Start: time.Now(), Origin: begin, Factor: Factor}
		wait, cancel := context.WithTimeout(t.Context(), c.Real(30*day))
		defer cancel()
		<-wait.Done()
		if got := c.Now().Sub(begin); got != 30*day {
			t.Errorf("after a month it is %v later", got)
		}
		if wall := (Clock{}).Now(); !wall.Equal(time.Now()) || (Clock{}).Real(day) != day {
			t.Error("the zero Clock is not the wall clock")
		}
	})
}
