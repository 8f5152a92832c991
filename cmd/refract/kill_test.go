package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

var seed = flag.Uint64("seed", 0, "seed of TestKilled; 0: one of the clock's")

const killedRule = "schedule-report"

// TestKilled kills the running binary under load, again and again, with
// senders that repeat whatever was not answered. After each kill a copy of the
// data directory says what survived:
//
//   - an acknowledged message is in the log, and no message is there twice;
//   - an event observed, and an exposure, on a response that ended more than
//     MaxCommitDelay before the kill is there;
//   - the tallies are what the log and the pages asked for say.
func TestKilled(t *testing.T) {
	rounds, from := 50, cmp.Or(*seed, uint64(time.Now().UnixNano()))
	if testing.Short() {
		rounds = 5
	}
	t.Logf("-seed %d", from)
	rnd := rand.New(rand.NewPCG(from, 0))
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	var answered atomic.Int64
	senders := make([]*sender, 6)
	for i := range senders {
		senders[i] = &sender{
			t: t, name: fmt.Sprint("s", i), rnd: rand.New(rand.NewPCG(from, uint64(i+1))),
			answered: &answered, acknowledged: map[string]bool{}, observed: map[string]time.Time{},
		}
	}
	a := &aftermath{t: t, dir: dir, set: set, senders: senders}
	var restarts []time.Duration
	for range rounds {
		began := time.Now()
		r := start(t, dir)
		restarts = append(restarts, time.Since(began))
		reached := make(chan struct{})
		limit := answered.Load() + 1 + rnd.Int64N(300)
		ended := drive(senders, r.edge, func(n int64) bool {
			if n == limit {
				close(reached)
			}
			return true
		})
		select {
		case <-reached:
		case <-ended:
			t.Fatal("every sender gave up before the kill")
		}
		killed := time.Now()
		r.kill()
		<-ended
		a.check(killed)
		if t.Failed() {
			t.FailNow()
		}
	}

	// Undisturbed, everyone ends the visit they are at, and all of it counts.
	r := start(t, dir)
	<-drive(senders, r.edge, func(int64) bool { return false })
	r.settle()
	r.stop()
	a.check(time.Now().Add(time.Hour))
	if a.must != a.asked {
		t.Errorf("%d visitors were exposed for sure, %d asked for the page", a.must, a.asked)
	}
	slices.Sort(restarts)
	t.Logf("%d kills, %d requests answered, %d messages acknowledged and %d logged, %d sent twice or more, %d visitors exposed",
		rounds, answered.Load(), a.acknowledged, a.logged, a.repeated, a.asked)
	t.Logf("lost at a kill: %d observed events of %d, %d exposures; the longest after its response: %s (allowed: %s); started again in %s (median), %s (longest)",
		a.lostEvents, a.observed, a.lostExposures, a.worst, store.MaxCommitDelay, restarts[len(restarts)/2], restarts[len(restarts)-1])
}

// drive has the senders send to the edge until a request fails, or until more
// says, of the number of answers, that the visit they are at is the last.
func drive(senders []*sender, edge string, more func(answers int64) bool) (ended <-chan struct{}) {
	var all sync.WaitGroup
	for _, s := range senders {
		all.Go(func() { s.run(edge, more) })
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return done
}

// sender is a client that makes one visit after the other. Its fields are its
// own while it runs, and the test's while the server is dead.
type sender struct {
	t        *testing.T
	name     string
	rnd      *rand.Rand
	answered *atomic.Int64
	edge     string
	http     *http.Client
	more     func(int64) bool
	last     bool // ends after this visit

	visits       []*visit
	acknowledged map[string]bool      // by messageId: false is sent and not acknowledged
	observed     map[string]time.Time // by the export's format: when its response ended
	exports      int
	repeated     int // messages sent again
}

// visit is what one visitor does: get into the segment, see the page, export
// reports, and perhaps convert or come to harm. Interrupted, it goes on from
// the page, so that what follows the page is always counted.
type visit struct {
	visitor  string
	entered  bool
	asked    bool      // for the page
	page     time.Time // when the page was read to its end; zero: never, or its exposure was lost
	finished bool      // what was sent after the page was acknowledged
}

func (s *sender) run(edge string, more func(int64) bool) {
	s.edge, s.more, s.last = edge, more, false
	s.http = &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer s.http.CloseIdleConnections()
	for !s.last {
		if n := len(s.visits); n == 0 || s.visits[n-1].finished {
			s.visits = append(s.visits, &visit{visitor: fmt.Sprintf("%s-%d", s.name, n)})
		}
		if !s.visit(s.visits[len(s.visits)-1], len(s.visits)) {
			return
		}
	}
}

func (s *sender) visit(v *visit, nth int) bool {
	if !v.entered {
		if !s.deliver(v, "Report Exported", "Page Looked At") {
			return false
		}
		v.entered = true
	}
	v.asked = true
	if !s.request(http.MethodGet, "/reports", v.visitor, nil) {
		return false
	}
	v.page = time.Now()
	// An event of the millisecond of the exposure would not be its effect.
	for again := true; again; again = time.Now().UnixMilli() <= v.page.UnixMilli() {
		s.exports++
		id := fmt.Sprintf("%s-%d", s.name, s.exports)
		if !s.request(http.MethodPost, "/reports/1/export?format="+id, v.visitor, nil) {
			return false
		}
		s.observed[id] = time.Now()
	}
	after := []string{"Page Left"}
	if nth%3 == 0 {
		after = append(after, "Report Scheduled")
	}
	if nth%8 == 0 {
		after = append(after, "Support Asked")
	}
	if !s.deliver(v, after...) {
		return false
	}
	v.finished = true
	return s.rnd.IntN(10) > 0 || s.deliver(v, after...) // as if the answer had been lost
}

// deliver sends events of a visitor, each under a messageId that is the same
// the next time: one as a track, several as a batch.
func (s *sender) deliver(v *visit, names ...string) bool {
	var batch []map[string]any
	for _, name := range names {
		id := v.visitor + " " + name
		if _, sent := s.acknowledged[id]; sent {
			s.repeated++
		} else {
			s.acknowledged[id] = false
		}
		batch = append(batch, map[string]any{"type": "track", "event": name, "userId": v.visitor, "messageId": id})
	}
	path, body := "/v1/batch", any(map[string]any{"batch": batch})
	if len(batch) == 1 {
		path, body = "/v1/track", batch[0]
	}
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Error(err)
		return false
	}
	if !s.request(http.MethodPost, segmentMount+path, "", b) {
		return false
	}
	for _, name := range names {
		s.acknowledged[v.visitor+" "+name] = true
	}
	return true
}

// request reports whether the answer came in full.
func (s *sender) request(method, path, visitor string, body []byte) bool {
	req, err := http.NewRequest(method, s.edge+path, bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return false
	}
	req.Header.Set("Cookie", "user="+visitor)
	req.SetBasicAuth("test-key", "")
	resp, err := s.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	if resp.StatusCode != http.StatusOK {
		s.t.Errorf("%s %s: %s %s", method, path, resp.Status, b)
		return false
	}
	s.last = !s.more(s.answered.Add(1))
	return true
}

// aftermath compares what a dead server left with what the senders know.
type aftermath struct {
	t       *testing.T
	dir     string
	set     *rules.Set
	senders []*sender

	acknowledged, logged, repeated, observed, asked, must int // as of the last check
	lostEvents, lostExposures                             int
	worst                                                 time.Duration // from a response's end to the kill that lost what came of it
}

func (a *aftermath) check(killed time.Time) {
	a.t.Helper()
	image := filepath.Join(a.dir, "image")
	if err := os.CopyFS(image, os.DirFS(filepath.Join(a.dir, "data", "store"))); err != nil {
		a.t.Fatal(err)
	}
	defer os.RemoveAll(image)
	s, err := store.Open(store.Options{Dir: image, Log: slog.New(slog.DiscardHandler), Reserve: 1})
	if err != nil {
		a.t.Fatal(err)
	}
	if err := s.Use(a.t.Context(), a.set, func() {}); err != nil {
		a.t.Fatal(err)
	}
	a.checkTally(s, a.checkLog(s, killed))
	a.checkExposures(s, killed)
	if err := s.Close(); err != nil {
		a.t.Fatal(err)
	}
}

// did is who did what, by event name and visitor.
type did map[string]map[string]bool

func (a *aftermath) checkLog(s *store.Store, killed time.Time) did {
	messages, exports, who := map[string]int{}, map[string]int{}, did{}
	err := s.Events(1, func(_ uint64, e *events.Event) bool {
		if e.Source == "edge" {
			exports[fmt.Sprint(e.Properties["format"])]++
			return true
		}
		messages[e.ID]++
		if who[e.Name] == nil {
			who[e.Name] = map[string]bool{}
		}
		who[e.Name][e.Visitor] = true
		return true
	})
	if err != nil {
		a.t.Fatal(err)
	}
	for id, n := range messages {
		if n > 1 && id != "" { // settle's has none
			a.t.Errorf("message %q is in the log %d times", id, n)
		}
	}
	a.logged, a.acknowledged, a.repeated, a.observed = len(messages), 0, 0, a.lostEvents
	for _, sender := range a.senders {
		a.repeated += sender.repeated
		for id, acknowledged := range sender.acknowledged {
			if !acknowledged {
				continue
			}
			a.acknowledged++
			if messages[id] == 0 {
				a.t.Errorf("message %q was acknowledged and is lost", id)
			}
		}
		for id, end := range sender.observed {
			a.observed++
			if n := exports[id]; n > 1 {
				a.t.Errorf("export %s was observed once and is in the log %d times", id, n)
			} else if n == 0 {
				a.lose("the observed event "+id, killed.Sub(end))
				delete(sender.observed, id)
				a.lostEvents++
			}
		}
	}
	return who
}

// lose takes note of what a kill cost.
func (a *aftermath) lose(what string, lag time.Duration) {
	a.worst = max(a.worst, lag)
	if lag > store.MaxCommitDelay {
		a.t.Errorf("%s is lost, though its response ended %s before the kill", what, lag)
	}
}

// checkTally recounts the rule.
func (a *aftermath) checkTally(s *store.Store, who did) {
	rule := a.set.Rule(killedRule)
	st, _ := s.Standing(killedRule)
	if st.Run.Stop != nil {
		a.t.Fatalf("the rule was stopped: %+v", st.Run.Stop)
	}
	arm := func(visitor string) rules.Arm {
		arm, _ := rule.Assign(visitor)
		return arm
	}
	count := func(visitors map[string]bool) map[rules.Arm]int64 {
		n := map[rules.Arm]int64{}
		for v := range visitors {
			n[arm(v)]++
		}
		return n
	}
	most, least := map[rules.Arm]int64{}, map[rules.Arm]int64{}
	a.asked, a.must = 0, 0
	for _, sender := range a.senders {
		for _, v := range sender.visits {
			if v.asked {
				most[arm(v.visitor)]++
				a.asked++
			}
			if v.finished {
				least[arm(v.visitor)]++
				a.must++
			}
		}
	}
	converted, harmed := count(who["Report Scheduled"]), count(who["Support Asked"])
	for _, epoch := range st.Tally.Epochs {
		for arm, have := range map[rules.Arm]struct{ exposed, converted, harmed int64 }{
			rules.Treatment: {epoch.TreatmentArm.Exposed, epoch.TreatmentArm.Converted, epoch.TreatmentArm.Harmed},
			rules.Control:   {epoch.ControlArm.Exposed, epoch.ControlArm.Converted, epoch.ControlArm.Harmed},
		} {
			if have.exposed < least[arm] || have.exposed > most[arm] {
				a.t.Errorf("%s: %d exposed, want between %d and %d", arm, have.exposed, least[arm], most[arm])
			}
			if have.converted != converted[arm] || have.harmed != harmed[arm] {
				a.t.Errorf("%s: %d converted and %d harmed, the log says %d and %d", arm, have.converted, have.harmed, converted[arm], harmed[arm])
			}
		}
	}
	if len(st.Tally.Epochs) > 1 || st.Tally.Mixed != 0 || len(st.Tally.Epochs) == 0 && a.must > 0 {
		a.t.Errorf("%d epochs, %d mixed", len(st.Tally.Epochs), st.Tally.Mixed)
	}
}

// checkExposures exposes everyone again: that counts who is not enrolled.
func (a *aftermath) checkExposures(s *store.Store, killed time.Time) {
	var finished []*visit
	for _, sender := range a.senders {
		for _, v := range sender.visits {
			switch {
			case v.finished:
				finished = append(finished, v)
			case v.page.IsZero():
			case a.expose(s, v) > 0:
				a.lose("the exposure of "+v.visitor, killed.Sub(v.page))
				a.lostExposures++
				v.page = time.Time{}
			}
		}
	}
	if n := a.expose(s, finished...); n > 0 {
		a.t.Errorf("%d visitors who went on from the page are not exposed", n)
	}
}

// expose returns how many of the visits are newly exposed by it.
func (a *aftermath) expose(s *store.Store, visits ...*visit) uint64 {
	before := s.Counters().Exposures
	settle := func() {
		e := &events.Event{Source: "test", Kind: events.Track, Name: "Settled", Visitor: "nobody", Time: time.Now(), Received: time.Now()}
		if err := s.Append(a.t.Context(), []*events.Event{e}); err != nil {
			a.t.Fatal(err)
		}
	}
	rule := a.set.Rule(killedRule)
	for i, v := range visits {
		arm, _ := rule.Assign(v.visitor)
		if !s.Expose(rules.Exposure{
			Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: v.visitor},
			Arm: arm, Treatment: rule.Rollout.Treatment, At: time.Now(),
		}) {
			a.t.Fatal("the queue is full")
		}
		if i%1000 == 999 {
			settle()
		}
	}
	settle()
	return s.Counters().Exposures - before
}
