package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// BenchmarkBreach measures how long a guardrail takes to stop a rule: from
// before the deciding event is posted to a source until its sender has the
// answer, by when the stop is on disk and the set without the rule is live on
// the node; and until a page asked for after that has come, which has to be the
// app's own. It is alone, or beside 500 requests/s of pages, or these and 1000
// events/s. Each time visitors see the page, and those who were treated ask for
// support, until the rule is stopped: which of them decides is not known before.
// The goal: at most a second in 99 of 100. An operation is 60 stops, with all
// that is done for each, so that there are enough of them in any -benchtime.
func BenchmarkBreach(b *testing.B) {
	const each = 60
	for _, bench := range []struct {
		name          string
		pages, events bool
	}{
		{"quiet", false, false},
		{"pages", true, false},
		{"pages+events", true, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			r, visitor := benchEdge(b)
			treated, control := bothArms(r, 20)
			var l *pacedLoad
			if bench.pages {
				l = newPacedLoad(b, strings.TrimPrefix(r.edge, "http://"), visitor)
			}
			var others *eventLoad
			if bench.events {
				others = newEventLoad(r)
			}
			var stops, pages []time.Duration
			for b.Loop() {
				for range each {
					stop, page := breach(r, treated, control, visitor)
					stops, pages = append(stops, stop), append(pages, page)
					r.mustCommand("resume", reportsRule)
				}
			}
			if others != nil {
				b.ReportMetric(others.end(), "events/s")
			}
			if l != nil {
				l.end()
				for _, err := range l.failed {
					b.Errorf("a request failed: %v", err)
				}
			}
			b.ReportMetric(quantile(stops, .50, time.Millisecond), "stop-p50-ms")
			b.ReportMetric(quantile(stops, .99, time.Millisecond), "stop-p99-ms")
			b.ReportMetric(quantile(stops, 1, time.Millisecond), "stop-max-ms")
			b.ReportMetric(quantile(pages, .99, time.Millisecond), "page-p99-ms")
		})
	}
}

// breach has the guardrail stop the rule of the reports, and returns the time from
// before the deciding event was sent until it was answered, and until the visitor
// had the app's own page.
func breach(r *refract, treated, control []string, visitor string) (stop, page time.Duration) {
	r.t.Helper()
	for i := range treated {
		r.get("/reports", treated[i])
		r.get("/reports", control[i])
	}
	r.settle()
	for _, v := range treated {
		began := time.Now()
		r.send("track", map[string]any{"event": "Support Asked", "userId": v})
		stop = time.Since(began)
		if r.get("/reports", visitor) == string(benchPage) {
			return stop, time.Since(began)
		}
	}
	r.t.Fatalf("%d visitors asked for support and the rule goes on: %s", len(treated), r.mustCommand("report", reportsRule))
	return 0, 0
}

// bothArms finds n visitors of each arm of the rule of the reports, and has them
// in its segment.
func bothArms(r *refract, n int) (treated, control []string) {
	r.t.Helper()
	set, err := rules.Load(r.dir + "/site")
	if err != nil {
		r.t.Fatal(err)
	}
	rule := set.Rule(reportsRule)
	for i := 0; len(treated) < n || len(control) < n; i++ {
		v := fmt.Sprintf("breaching-%d", i)
		arm, _ := rule.Assign(v)
		to := &treated
		if arm == rules.Control {
			to = &control
		}
		if len(*to) == n {
			continue
		}
		*to = append(*to, v)
		r.send("track", map[string]any{"event": "Report Exported", "userId": v})
	}
	return treated, control
}

// eventLoad posts batches of events, each of another visitor, at a fixed rate
// as long as the answers are in time.
type eventLoad struct {
	r     *refract
	all   sync.WaitGroup
	stop  chan struct{}
	sent  atomic.Int64
	began time.Time
}

const (
	eventBatch = 50
	eventEvery = 50 * time.Millisecond
)

func newEventLoad(r *refract) *eventLoad {
	l := &eventLoad{r: r, stop: make(chan struct{}), began: time.Now()}
	l.all.Go(func() {
		ticks := time.NewTicker(eventEvery)
		defer ticks.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			case <-ticks.C:
			}
			if err := l.post(i); err != nil {
				r.t.Error(err)
				return
			}
		}
	})
	return l
}

// post posts one batch, whose number makes its events its own.
func (l *eventLoad) post(batch int) error {
	var body bytes.Buffer
	body.WriteString(`{"batch":[`)
	for i := range eventBatch {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"type":"track","messageId":"load-%d-%d","event":"Report Exported","userId":"other-%d-%d"}`, batch, i, batch, i)
	}
	body.WriteString(`]}`)
	req, err := http.NewRequest(http.MethodPost, l.r.edge+ingestMounts+"segment/v1/batch", &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Basic dGVzdC1rZXk6")
	resp, err := l.r.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a batch of events: %s", resp.Status)
	}
	l.sent.Add(eventBatch)
	return nil
}

// end returns how many events a second there were.
func (l *eventLoad) end() float64 {
	close(l.stop)
	l.all.Wait()
	return float64(l.sent.Load()) / time.Since(l.began).Seconds()
}
