package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

var seed = flag.Uint64("seed", 0, "seed of TestKilled; 0: one of the clock's")

const killedRule = "schedule-report"

// TestKilled kills the running binary under load, again and again, with
// senders that repeat whatever was not answered. After each kill a copy of the
// data directory says what survived:
//
//   - an acknowledged message is in the log, no message is there twice, and of
//     a batch all messages are there or none;
//   - an event observed, and an exposure, on a response that ended more than
//     MaxCommitDelay before the kill is there, not counted how long the machine
//     let nobody run;
//   - the tallies are what the log and the pages asked for say, and the units'
//     states what folding the log gives.
//
// The original is left to the binary, which has to recover by itself.
func TestKilled(t *testing.T) {
	rounds, from := 50, cmp.Or(*seed, uint64(time.Now().UnixNano()))
	if testing.Short() {
		rounds = 5
	}
	t.Logf("-seed %d", from)
	rnd := rand.New(rand.NewPCG(from, 0))
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/rules", killedRule+".yaml"), func(s string) string {
		return strings.Replace(s, "tolerate: 10%", "tolerate: 100%, alpha: 0.1%", 1) // it is not to stop by chance
	})
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	var answered atomic.Int64
	senders := make([]*sender, 6)
	for i := range senders {
		senders[i] = &sender{
			t: t, name: fmt.Sprint("s", i), rnd: rand.New(rand.NewPCG(from, uint64(i+1))),
			set: set, answered: &answered, acknowledged: map[string]bool{}, observed: map[string]time.Time{},
		}
	}
	a := &aftermath{t: t, dir: dir, set: set, senders: senders}
	var restarts []time.Duration
	for range rounds {
		began := time.Now()
		r := start(t, dir)
		restarts = append(restarts, time.Since(began))
		stalled := stall()
		reached := make(chan struct{})
		limit := answered.Load() + int64(math.Exp(rnd.Float64()*math.Log(2000))) // often soon, sometimes late
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
		a.stall = stalled()
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
	a.checkWindows()
	slices.Sort(restarts)
	t.Logf("%d kills, %d requests answered, %d messages acknowledged and %d logged, %d sent twice or more, %d visitors exposed",
		rounds, answered.Load(), a.acknowledged, a.logged, a.repeated, a.asked)
	t.Logf("lost at a kill: %d observed events of %d, %d exposures; the longest after its response: %s (allowed: %s); started again in %s (median), %s (longest)",
		a.lostEvents, a.observed, a.lostExposures, a.worst, store.MaxCommitDelay, restarts[len(restarts)/2], restarts[len(restarts)-1])
}

// stall measures, until the returned function is called, the longest that this
// machine let somebody wait who was ready to run.
func stall() func() time.Duration {
	const step = time.Millisecond
	quit, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		tick := time.NewTicker(step)
		defer tick.Stop()
		var worst time.Duration
		for last := time.Now(); ; {
			select {
			case <-tick.C:
				now := time.Now()
				worst, last = max(worst, now.Sub(last)-step), now
			case <-quit:
				longest <- worst
				return
			}
		}
	}()
	return func() time.Duration {
		close(quit)
		return <-longest
	}
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
	set      *rules.Set
	rnd      *rand.Rand
	answered *atomic.Int64
	edge     string
	http     *http.Client
	more     func(int64) bool
	last     bool // ends after this visit

	visits       []*visit
	batches      [][]string           // messageIds that were sent together
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
		// The outcomes of somebody who never sees the page count nowhere.
		if nth%4 == 0 && !s.deliver("stranger-"+v.visitor, "Report Scheduled", "Support Asked") {
			return false
		}
		if !s.deliver(v.visitor, "Report Exported", "Page Looked At") {
			return false
		}
		v.entered = true
	}
	v.asked = true
	page, ok := s.request(http.MethodGet, "/reports", v.visitor, nil)
	if !ok {
		return false
	}
	v.page = time.Now()
	rule := s.set.Rule(killedRule)
	want := reportsPage
	if arm, _ := rule.Assign(v.visitor); arm == rules.Treatment {
		want = strings.Replace(want, "Your reports", html.EscapeString(string(rule.Response.HTML)), 1)
	}
	if page != want {
		s.t.Errorf("%s is in the segment and gets %q, want %q", v.visitor, page, want)
	}
	// An event of the millisecond of the exposure would not be its effect.
	for again := true; again; again = time.Now().UnixMilli() <= v.page.UnixMilli() {
		s.exports++
		id := fmt.Sprintf("%s-%d", s.name, s.exports)
		if _, ok := s.request(http.MethodPost, "/reports/1/export?format="+id, v.visitor, nil); !ok {
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
	if !s.deliver(v.visitor, after...) {
		return false
	}
	v.finished = true
	return s.rnd.IntN(10) > 0 || s.deliver(v.visitor, after...) // as if the answer had been lost
}

// deliver sends events of a visitor, each under a messageId that is the same
// the next time: one as a track, several as a batch.
func (s *sender) deliver(visitor string, names ...string) bool {
	var batch []map[string]any
	var ids []string
	for _, name := range names {
		id := visitor + " " + name
		if _, sent := s.acknowledged[id]; sent {
			s.repeated++
		} else {
			s.acknowledged[id] = false
		}
		ids = append(ids, id)
		batch = append(batch, map[string]any{"type": "track", "event": name, "userId": visitor, "messageId": id})
	}
	s.batches = append(s.batches, ids)
	path, body := "/v1/batch", any(map[string]any{"batch": batch})
	if len(batch) == 1 {
		path, body = "/v1/track", batch[0]
	}
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Error(err)
		return false
	}
	if _, ok := s.request(http.MethodPost, ingestMounts+"segment"+path, "", b); !ok {
		return false
	}
	for _, id := range ids {
		s.acknowledged[id] = true
	}
	return true
}

// request returns the answer's body, and whether it came in full.
func (s *sender) request(method, path, visitor string, body []byte) (string, bool) {
	req, err := http.NewRequest(method, s.edge+path, bytes.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return "", false
	}
	req.Header.Set("Cookie", "user="+visitor)
	req.SetBasicAuth("test-key", "")
	resp, err := s.http.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", false
	}
	if resp.StatusCode != http.StatusOK {
		s.t.Errorf("%s %s: %s %s", method, path, resp.Status, b)
		return "", false
	}
	s.last = !s.more(s.answered.Add(1))
	return string(b), true
}
