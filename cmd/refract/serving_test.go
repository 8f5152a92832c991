package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/coding"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// moodyApp is an app whose page of reports is as mood says.
type moodyApp struct {
	*httptest.Server
	mood atomic.Value // "", or one of those below
	t    map[string]bool
}

func newMoodyApp(t *testing.T) *moodyApp {
	a := &moodyApp{t: map[string]bool{}}
	a.mood.Store("")
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := r.Cookie("user")
		mood := a.mood.Load()
		if mood == "down" || mood == "down for treatment" && a.t[user.Value] {
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if mood == "redesigned" {
			_, _ = io.WriteString(w, strings.Replace(reportsPage, "data-surface", "data-other", 1))
			return
		}
		_, _ = io.WriteString(w, reportsPage)
	}))
	t.Cleanup(a.Close)
	return a
}

// TestServingGuardrails runs a rule through what must not stop it and what must.
func TestServingGuardrails(t *testing.T) {
	const perArm = 60
	app := newMoodyApp(t)
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return s + "trusted_proxies: [127.0.0.0/8]\n" })
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	var visitors, treated []string
	var exports []map[string]any
	for i, controls := 0, 0; len(treated) < perArm || controls < perArm; i++ {
		v := fmt.Sprintf("reader-%d", i)
		arm, _ := set.Rule(reportsRule).Assign(v)
		if arm == rules.Treatment {
			treated, app.t[v] = append(treated, v), true
		}
		if arm == rules.Treatment && len(treated) <= perArm || arm == rules.Control && controls < perArm {
			visitors = append(visitors, v)
		}
		if arm == rules.Control {
			controls++
		}
		exports = append(exports, map[string]any{"type": "track", "event": "Report Exported", "userId": v})
	}
	r := start(t, dir)
	for len(exports) > 0 {
		n := min(200, len(exports))
		r.send("batch", map[string]any{"batch": exports[:n]})
		exports = exports[n:]
	}
	// visit has visitors come, each from an address of their own unless there is one for all.
	visit := func(mood string, who []string, address string) {
		app.mood.Store(mood)
		for i, v := range who {
			from := address
			if from == "" {
				from = fmt.Sprintf("198.51.100.%d", i)
			}
			r.do(http.MethodGet, "/reports", v, nil, "X-Forwarded-For", from)
		}
	}
	state := func(what, want string) {
		t.Helper()
		if st := r.rule(reportsRule); st.State != want {
			t.Fatalf("%s: the rule is %s by %q: %s", what, st.State, st.Cause, st.Summary)
		}
	}

	// Each look is at other windows: the clock is put on.
	visit("down for treatment", treated, "203.0.113.9")
	state("one client asks for what fails", "live")
	r.at(2 * time.Hour)
	visit("down", visitors, "")
	state("the app is down for everyone", "live")
	if st := r.rule(reportsRule); !st.Unseen {
		t.Error("the surface was on no page for two hours, and the rule is not unseen")
	}

	r.at(4 * time.Hour)
	visit("down for treatment", visitors, "")
	eventually(t, "the stop is on record", func() bool { return r.rule(reportsRule).State == "rolled_back" })
	stop := r.rule(reportsRule)
	if b := stop.Receipt.Serving; stop.Cause != "serving" || b == nil || b.Fault != outcomes.FaultError || b.ControlFaults != 0 ||
		b.TreatmentFaults != b.Treatment || b.LogE < b.Limit || !strings.Contains(stop.Summary, b.String()) {
		t.Errorf("the receipt: %+v, %q", stop.Receipt, stop.Summary)
	}
	const trips = `refract_guardrail_trips_total{cause="serving",rule="schedule-report"} 1`
	eventually(t, "the stop is published", func() bool {
		_, body := r.ask(http.MethodGet, "/metrics", nil)
		return strings.Contains(body, trips)
	})
	visit("", treated[:1], "")
	state("the app works again", "rolled_back")
	if r.treats(treated[0]) {
		t.Error("a stopped rule is served")
	}
	var ledger []store.Entry
	if _, body := r.ask(http.MethodGet, "/api/ledger", nil); json.Unmarshal([]byte(body), &ledger) != nil {
		t.Fatalf("the ledger: %s", body)
	}
	if last := ledger[len(ledger)-1]; last.Kind != "rollback" || !strings.HasPrefix(last.Why, "error: ") {
		t.Errorf("the ledger ends with %+v", last)
	}

	r.mustCommand("resume", reportsRule)
	visit("", visitors, "") // a redesign is known by what was before
	r.metric(`refract_serving_faults_total{arm="treatment",kind="error",rule="schedule-report"} 0`)
	r.metric(`refract_rule_unseen{rule="schedule-report"} 0`)
	r.at(4*time.Hour + 2*time.Minute)
	visit("redesigned", visitors, "")
	eventually(t, "the rule is stopped, for its surface is gone", func() bool { return r.rule(reportsRule).State == "rolled_back" })
	if b := r.rule(reportsRule).Receipt.Serving; b == nil || b.Fault != outcomes.FaultMissing || b.Tolerated <= 0 {
		t.Errorf("the receipt: %+v", b)
	}

	// Control got the app's own bytes all the while, and the proxy has proof of it.
	if out := r.mustCommand("verify", "--control"); !strings.Contains(out, "each was the origin's, byte for byte") || !strings.Contains(out, reportsRule) {
		t.Errorf("verify --control: %s", out)
	}
	log := filepath.Join(dir, "access.log")
	eventually(t, "the access log is written", func() bool {
		b, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(b), `"sent_sha256"`)
	})
	r.mustCommand("verify", "--control", "--log", log)
	editFile(t, log, func(s string) string { return strings.Replace(s, `"sent_sha256":"`, `"sent_sha256":"0`, 1) })
	out, errOut, code := r.command("verify", "--control", "--log", log)
	if code != exitRefused || !strings.Contains(errOut, "1 of ") || !strings.Contains(out, "/reports ("+reportsRule+"): the origin sent ") {
		t.Errorf("verify --control of a page that differs: %d %s%s", code, out, errOut)
	}
	if _, errOut, code := r.command("verify", "--control", "--log", os.DevNull); code != exitRefused || !strings.Contains(errOut, "hint: ") {
		t.Errorf("verify --control of nothing: %d %s", code, errOut)
	}
	if _, _, code := r.command("verify"); code != exitUsage {
		t.Errorf("verify of nobody knows what: %d", code)
	}
}

// The first page of each rule and minute is compared, and a share of the others.
func TestProofsWanted(t *testing.T) {
	var p proofs
	a, b := rules.Placement{Rule: &rules.Rule{Name: "a"}}, rules.Placement{Rule: &rules.Rule{Name: "b"}}
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	const seldom = 1e-300
	for i, want := range []struct {
		is   bool
		d    rules.Decision
		at   time.Duration
		part float64
	}{
		{true, rules.Decision{a}, 0, seldom}, {false, rules.Decision{a}, time.Second, seldom}, {true, rules.Decision{a, b}, 2 * time.Second, seldom},
		{false, rules.Decision{b}, 59 * time.Second, seldom}, {true, rules.Decision{b}, time.Minute, seldom}, {true, rules.Decision{b}, time.Minute, 1},
		{false, rules.Decision{a}, time.Hour, 0},
	} {
		if got := p.wants(want.d, want.part, at.Add(want.at)); got != want.is {
			t.Errorf("page %d: %t", i, got)
		}
	}
	for i := range maxProofs + 3 {
		p.keep(console.Proof{At: at.Add(time.Duration(i))})
	}
	if list := p.list(); len(list) != maxProofs || list[0].At != at.Add(3) || list[maxProofs-1].At != at.Add(maxProofs+2) {
		t.Errorf("%d pages are kept", len(list))
	}
}

// What an exchange says, and what it leaves unsaid.
func TestServedOf(t *testing.T) {
	page := func(edit func(*proxy.Exchange)) *proxy.Exchange {
		x := &proxy.Exchange{Request: httptest.NewRequest(http.MethodGet, "/reports", nil), Status: 200, Answered: 30 * time.Millisecond, Rewriting: time.Millisecond,
			Decision: rules.Decision{{}}, Sightings: []rewrite.Sighting{{State: rewrite.Swappable, Count: 1}}}
		if edit != nil {
			edit(x)
		}
		return x
	}
	const took = 31 * time.Millisecond
	for name, c := range map[string]struct {
		x      *proxy.Exchange
		want   outcomes.Served
		unsaid bool
	}{
		"sound":     {x: page(nil), want: outcomes.Served{Took: took, Surface: true}},
		"missing":   {x: page(func(x *proxy.Exchange) { x.Sightings[0] = rewrite.Sighting{State: rewrite.Missing} }), want: outcomes.Served{Took: took, Surface: true, Fault: outcomes.FaultMissing}},
		"counted":   {x: page(func(x *proxy.Exchange) { x.Sightings[0].Whole = true }), want: outcomes.Served{Took: took, Surface: true, Counted: true}},
		"two":       {x: page(func(x *proxy.Exchange) { x.Sightings[0].Count = 2 }), want: outcomes.Served{Took: took, Surface: true}},
		"duplicate": {x: page(func(x *proxy.Exchange) { x.Sightings[0].Count, x.Sightings[0].Whole = 2, true }), want: outcomes.Served{Took: took, Surface: true, Counted: true, Fault: outcomes.FaultDuplicate}},
		"bailout": {x: page(func(x *proxy.Exchange) {
			x.Sightings[0] = rewrite.Sighting{State: rewrite.Untouched, Reason: rewrite.Unclosed}
		}), want: outcomes.Served{Took: took, Surface: true, Fault: outcomes.FaultBailout}},
		"no-transform": {x: page(func(x *proxy.Exchange) { x.Passthrough, x.Sightings = proxy.ReasonNoTransform, nil }), want: outcomes.Served{Took: took, Surface: true, Fault: outcomes.FaultBailout}},
		"corrupt": {x: page(func(x *proxy.Exchange) {
			x.Passthrough, x.Broken, x.Sightings = proxy.ReasonCoding, coding.ErrCorrupt, nil
		}), want: outcomes.Served{Broken: true, Surface: true, Fault: outcomes.FaultBailout}},
		"no page":      {x: page(func(x *proxy.Exchange) { x.Passthrough, x.Sightings = proxy.ReasonType, nil }), want: outcomes.Served{Took: took}},
		"redirect":     {x: page(func(x *proxy.Exchange) { x.Status, x.Passthrough, x.Sightings = 302, proxy.ReasonStatus, nil }), want: outcomes.Served{Took: took}},
		"not modified": {x: page(func(x *proxy.Exchange) { x.Status = 304 }), want: outcomes.Served{Took: took}},
		"error":        {x: page(func(x *proxy.Exchange) { x.Status, x.Passthrough, x.Sightings = 503, proxy.ReasonStatus, nil }), want: outcomes.Served{Failed: true}},
		"no answer": {x: page(func(x *proxy.Exchange) {
			x.Status, x.OriginError, x.Sightings = 502, errors.New("refused"), nil
		}), want: outcomes.Served{Failed: true}},
		"broken":        {x: page(func(x *proxy.Exchange) { x.Broken = io.ErrUnexpectedEOF }), want: outcomes.Served{Broken: true}},
		"unaccounted":   {x: page(func(x *proxy.Exchange) { x.Sightings = nil }), want: outcomes.Served{Took: took, Broken: true}},
		"not found":     {x: page(func(x *proxy.Exchange) { x.Status = 404 }), unsaid: true},
		"client left":   {x: page(func(x *proxy.Exchange) { x.Status, x.ClientGone, x.OriginError = 499, true, io.EOF }), unsaid: true},
		"client stalls": {x: page(func(x *proxy.Exchange) { x.OriginError = errors.New("broken off") }), unsaid: true},
		"head":          {x: page(func(x *proxy.Exchange) { x.Request.Method = http.MethodHead }), unsaid: true},
		"upload":        {x: page(func(x *proxy.Exchange) { x.Request.ContentLength = 7 }), want: outcomes.Served{Surface: true}},
	} {
		got, ok := servedOf(c.x)
		if ok {
			got = withSurface(got, c.x, 0)
		}
		if ok == c.unsaid || ok && got != c.want {
			t.Errorf("%s: %+v, %t", name, got, ok)
		}
	}
}

// What the site doesn't want to be judged by is none, and all else is what it was.
func TestServingOff(t *testing.T) {
	all := outcomes.Served{Failed: true, Broken: true, Took: time.Second, Surface: true}
	var list []string
	for _, f := range outcomes.Faults {
		list = append(list, string(f))
		x := all
		if f == outcomes.FaultMissing || f == outcomes.FaultDuplicate || f == outcomes.FaultBailout {
			x.Fault = f
		}
		if without([]string{string(f)}, x) == x {
			t.Errorf("off: [%s] changes nothing", f)
		}
	}
	for _, f := range outcomes.Faults[3:] {
		x := all
		x.Fault = f
		if got := without(list, x); got != (outcomes.Served{}) {
			t.Errorf("all off: %+v", got)
		}
	}
	if without(nil, all) != all {
		t.Error("nothing off changes something")
	}
}

// Guardrails that can't judge stop their rule: blind means off. They do it once.
func TestServingGuardrailsFail(t *testing.T) {
	var stops []string
	s := newServing(slog.New(slog.DiscardHandler), func(w *watched, why string, b *outcomes.Breach) {
		stops = append(stops, w.rule.Name+": "+why)
	})
	rule := &rules.Rule{Name: "r", Version: "1"}
	s.watch([]*rules.Rule{rule}, time.Now())
	x := &proxy.Exchange{Request: httptest.NewRequest(http.MethodGet, "/", nil), Status: 200, Decision: rules.Decision{{Rule: rule}}, Sightings: []rewrite.Sighting{{State: rewrite.Swappable}}}
	s.exchange(x, &rules.Edge{}, time.Now())
	if len(stops) > 0 {
		t.Fatalf("stopped without a reason: %q", stops)
	}
	(*s.rules.Load())["r"].guard = nil
	s.exchange(x, &rules.Edge{}, time.Now())
	s.exchange(x, &rules.Edge{}, time.Now())
	x.Request.URL = nil // it fails before it counts
	other := &rules.Rule{Name: "other", Version: "1"}
	s.watch([]*rules.Rule{rule, other}, time.Now())
	x.Decision[0].Rule = other
	s.exchange(x, &rules.Edge{}, time.Now())
	if len(stops) != 2 || !strings.HasPrefix(stops[0], "r: they failed") || !strings.HasPrefix(stops[1], "other: they failed") {
		t.Errorf("stops: %q", stops)
	}
}

// One client may have a /48, and cannot make itself many.
func TestServingClients(t *testing.T) {
	s := newServing(slog.New(slog.DiscardHandler), nil)
	for _, same := range [][2]string{{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"}, {"2001:db8:1:2::1", "2001:db8:1:ffff::9"}, {"203.0.113.1", "::ffff:203.0.113.1"}, {"fe80::1%eth0", "fe80::2%eth1"}} {
		if s.client(same[0]) != s.client(same[1]) {
			t.Errorf("%s and %s are two", same[0], same[1])
		}
	}
	if s.client("203.0.113.1") == s.client("203.0.113.2") || s.client("2001:db8:1:2::1") == s.client("2001:db8:2:2::1") {
		t.Error("two clients are one")
	}
	if s.page("/projects/71/edit") != s.page("/projects/a9f/edit") || s.page("/projects/edit") == s.page("/projects/7/edit") {
		t.Error("pages are told by their ids")
	}
}

func BenchmarkServingExchange(b *testing.B) {
	s := newServing(slog.New(slog.DiscardHandler), nil)
	rule := &rules.Rule{Name: "r", Version: "1", Rollout: rules.Rollout{Treatment: .5}}
	s.watch([]*rules.Rule{rule}, time.Now())
	x := &proxy.Exchange{Request: httptest.NewRequest(http.MethodGet, "/projects/7", nil), Status: 200, Answered: time.Millisecond,
		Decision: rules.Decision{{Rule: rule}}, Sightings: []rewrite.Sighting{{State: rewrite.Swappable, Count: 1}}}
	ids := make([]string, 4096)
	addresses := make([]string, len(ids))
	for i := range ids {
		ids[i], addresses[i] = fmt.Sprint("visitor-", i), fmt.Sprintf("10.0.%d.%d:4000", i/256, i%256)
	}
	edge, at := &rules.Edge{}, time.Now()
	b.ReportAllocs()
	for i := range b.N {
		x.Decision[0].Unit.ID, x.Request.RemoteAddr = ids[i%len(ids)], addresses[i%len(ids)]
		s.exchange(x, edge, at.Add(time.Duration(i)*10*time.Millisecond))
	}
}
