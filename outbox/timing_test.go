package outbox

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/internal/pipes"
	"github.com/seed14307185/refract/rules"
)

// timed runs an outbox with a webhook in a bubble. tries gets the time of each
// request since the beginning.
func timed(t *testing.T, p *pile, answer http.HandlerFunc) (o *Outbox, tries func() []time.Duration) {
	t.Helper()
	return timedTo(t, rules.Destination{Kind: "webhook"}, p, answer)
}

func timedTo(t *testing.T, d rules.Destination, p *pile, answer http.HandlerFunc) (o *Outbox, tries func() []time.Duration) {
	t.Helper()
	l := pipes.Listen()
	var mu sync.Mutex
	var at []time.Duration
	began := time.Now()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		at = append(at, time.Since(began))
		mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	transport := &http.Transport{DialContext: l.Dial}
	o = &Outbox{Store: p, Log: slog.New(slog.DiscardHandler), Transport: transport}
	d.Name, d.URL, d.MaxBytes = "it", "http://destination", 1<<20
	o.Use([]rules.Destination{d})
	t.Cleanup(func() {
		o.Close(context.Background())
		transport.CloseIdleConnections()
		server.Close()
		l.Close()
	})
	return o, func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return append([]time.Duration(nil), at...)
	}
}

// TestPauses: the pauses double from a second to five minutes, each off by half
// at most, and begin anew after a success.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPile(visitor("ann"))
		down := true
		var mu sync.Mutex
		o, tries := timed(t, p, func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		time.Sleep(72 * time.Hour)
		synctest.Wait()
		at := tries()
		want := firstPause
		for i := 1; i < len(at); i++ {
			pause := at[i] - at[i-1]
			if pause < want/2 || pause > want*3/2 {
				t.Errorf("pause %d is %s, want %s give or take half", i, pause, want)
			}
			want = min(2*want, longestPause)
		}
		if n := len(at); n < 600 || n > 2000 {
			t.Errorf("%d tries in three days", n)
		}
		different := map[time.Duration]bool{}
		for i := 20; i < 30; i++ {
			different[at[i]-at[i-1]] = true
		}
		if len(different) < 5 {
			t.Errorf("the pauses are not spread: %v", different)
		}
		mu.Lock()
		down = false
		mu.Unlock()
		<-p.empty
		if c := o.Counts()["it"]; c.Sent != 1 || c.Failed < 600 {
			t.Errorf("sent %d, failed %d", c.Sent, c.Failed)
		}
		mu.Lock()
		down = true
		mu.Unlock()
		before := len(tries())
		p.put(visitor("bob"))
		time.Sleep(3 * time.Second)
		if now := tries(); len(now) < before+2 {
			t.Errorf("after a success, %d tries in 3 s", len(now)-before)
		}
	})
}

// TestRetryAfter: a destination is not asked again before it wants to be.
func TestRetryAfter(t *testing.T) {
	for name, test := range map[string]struct {
		status         int
		header, value  string
		least, atMost  time.Duration
		valueOfTheTime func(time.Time) string
	}{
		"seconds":       {status: 429, header: "Retry-After", value: "600", least: 10 * time.Minute, atMost: 10*time.Minute + time.Second},
		"date":          {status: 503, header: "Retry-After", least: 10 * time.Minute, atMost: 10*time.Minute + time.Second, valueOfTheTime: func(t time.Time) string { return t.Add(10 * time.Minute).UTC().Format(http.TimeFormat) }},
		"for ever":      {status: 429, header: "Retry-After", value: "999999999", least: longestAsked, atMost: longestAsked + time.Second},
		"in the past":   {status: 503, header: "Retry-After", atMost: 2 * time.Second, valueOfTheTime: func(t time.Time) string { return t.Add(-time.Hour).UTC().Format(http.TimeFormat) }},
		"nonsense":      {status: 429, header: "Retry-After", value: "soon", atMost: 2 * time.Second},
		"a reset":       {status: 429, header: "X-RateLimit-Reset", least: 10 * time.Minute, atMost: 10*time.Minute + time.Second, valueOfTheTime: func(t time.Time) string { return strconv.FormatInt(t.Unix()+600, 10) }},
		"a key refused": {status: 401, atMost: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				p := newPile(visitor("ann"))
				_, tries := timed(t, p, func(w http.ResponseWriter, _ *http.Request) {
					if first {
						first = false
						value := test.value
						if test.valueOfTheTime != nil {
							value = test.valueOfTheTime(time.Now())
						}
						if test.header != "" {
							w.Header().Set(test.header, value)
						}
						w.WriteHeader(test.status)
					}
				})
				<-p.empty
				at := tries()
				if pause := at[1] - at[0]; len(at) != 2 || pause < test.least || pause > test.atMost {
					t.Errorf("%d tries, the second after %s; want two, from %s to %s", len(at), pause, test.least, test.atMost)
				}
			})
		})
	}
}

// TestHang: a destination that does not answer is given up on and tried again.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		p := newPile(visitor("ann"))
		o, tries := timed(t, p, func(w http.ResponseWriter, r *http.Request) {
			if first {
				first = false
				<-r.Context().Done()
			}
		})
		<-p.empty
		synctest.Wait() // it is counted after that
		at := tries()
		if pause := at[1] - at[0]; pause < answerTimeout || pause > answerTimeout+2*firstPause {
			t.Errorf("tried again after %s", pause)
		}
		if c := o.Counts()["it"]; c.Sent != 1 || c.Failed != 1 {
			t.Errorf("sent %d, failed %d", c.Sent, c.Failed)
		}
	})
}

// TestClose: what is under way may be answered until the deadline; what waits,
// stays.
func TestClose(t *testing.T) {
	for took, want := range map[time.Duration]int{time.Second: 0, time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			p := newPile(visitor("ann"))
			o, _ := timed(t, p, func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(took):
				case <-r.Context().Done():
				}
			})
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			o.Close(ctx)
			if d := time.Since(began); d != min(took, 2*time.Second) {
				t.Errorf("closing took %s", d)
			}
			if got := p.Backlog("it").Pending; got != want {
				t.Errorf("an answer after %s: %d letters are left, want %d", took, got, want)
			}
		})
	}
}
