package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// TestAnswers is what each destination's answers mean. The first answer of a
// case is given to the first request and so on, the last to all further ones.
func TestAnswers(t *testing.T) {
	type reply struct {
		status int
		body   string
	}
	ok := reply{200, "{}"}
	tests := []struct {
		name, kind string
		n          int // exposures
		replies    []reply
		requests   int
		sent       uint64
		dropped    map[Reason]uint64
	}{
		{"taken", "segment", 3, []reply{ok}, 1, 3, nil},
		{"one of four is wrong", "segment", 4, []reply{{400, ""}, {400, ""}, ok, {400, ""}, {400, ""}, ok}, 6, 3, map[Reason]uint64{Refused: 1}},
		{"wrong", "segment", 1, []reply{{400, "no"}}, 1, 0, map[Reason]uint64{Refused: 1}},
		{"unprocessable", "webhook", 1, []reply{{422, ""}}, 1, 0, map[Reason]uint64{Refused: 1}},
		{"too large together", "segment", 4, []reply{{413, ""}, ok}, 3, 4, nil},
		{"too large alone", "webhook", 1, []reply{{413, ""}}, 1, 0, map[Reason]uint64{TooLarge: 1}},
		{"any success", "webhook", 2, []reply{{202, ""}}, 1, 2, nil},

		{"posthog", "posthog", 2, []reply{{200, `{"status":"Ok"}`}}, 1, 2, nil},
		{"posthog over its quota", "posthog", 2, []reply{{200, `{"status":"Ok","quota_limited":["events"]}`}}, 1, 0, map[Reason]uint64{Quota: 2}},
		{"posthog over another quota", "posthog", 2, []reply{{200, `{"status":"Ok","quota_limited":["recordings"]}`}}, 1, 2, nil},

		{"mixpanel", "mixpanel", 2, []reply{{200, `{"code":200,"num_records_imported":2,"status":"OK"}`}}, 1, 2, nil},
		{"mixpanel took the others", "mixpanel", 3,
			[]reply{{400, `{"code":400,"num_records_imported":2,"failed_records":[{"index":1,"insert_id":"x","field":"f","message":"m"}]}`}},
			1, 2, map[Reason]uint64{Refused: 1}},

		{"amplitude", "amplitude", 2, []reply{{200, `{"code":200,"events_ingested":2}`}}, 1, 2, nil},
		{"amplitude says 400 in the body alone", "amplitude", 1, []reply{{200, `{"code":400,"error":"x"}`}}, 1, 0, map[Reason]uint64{Refused: 1}},
		{"amplitude took none of them", "amplitude", 3,
			[]reply{{400, `{"code":400,"error":"Invalid field values","events_with_invalid_fields":{"time":[0,2]},"events_with_missing_fields":{"x":[2]}}`}, {200, `{"code":200}`}},
			2, 1, map[Reason]uint64{Refused: 2}},

		{"braze", "braze", 2, []reply{{201, `{"message":"success","events_processed":2}`}}, 1, 2, nil},
		{"braze took the others", "braze", 3,
			[]reply{{201, `{"message":"success","events_processed":2,"errors":[{"type":"x","input_array":"events","index":2},{"type":"y","input_array":"events","index":2}]}`}},
			1, 2, map[Reason]uint64{Refused: 1}},
		{"braze has more than one batch", "braze", 51, []reply{{201, `{"message":"success"}`}}, 2, 51, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := newReceiver(t, func(n int, _ *request) (int, map[string]string, string) {
				r := test.replies[min(n, len(test.replies)-1)]
				return r.status, nil, r.body
			})
			p := newPile()
			for i := range test.n {
				p.put(visitor(fmt.Sprint("v", i)))
			}
			c := tell(t, rules.Destination{Kind: test.kind, URL: v.URL, Key: "k"}, p)
			if got := len(v.requests()); got != test.requests {
				t.Errorf("%d requests, want %d", got, test.requests)
			}
			if test.dropped == nil {
				test.dropped = map[Reason]uint64{}
			}
			if got := c.droppedAtAll(); c.Sent != test.sent || !reflect.DeepEqual(got, test.dropped) || c.Failed != 0 {
				t.Errorf("sent %d, dropped %v, failed %d; want %d, %v, 0", c.Sent, got, c.Failed, test.sent, test.dropped)
			}
		})
	}
}

// TestRequestsAreWithinLimits: what is more than a request may have goes out in
// several, in order; what alone is more, is dropped.
func TestRequestsAreWithinLimits(t *testing.T) {
	v := newReceiver(t, nil)
	p := newPile()
	var want []string
	for i := range 60 {
		x := visitor(fmt.Sprint("v", i))
		x.Segment = strings.Repeat("s", 20_000)
		if i == 30 {
			x.Segment = strings.Repeat("s", 500_000)
		} else {
			want = append(want, x.ID)
		}
		p.put(x)
	}
	c := tell(t, rules.Destination{Kind: "segment", URL: v.URL, Key: "k"}, p)
	var got []string
	for _, r := range v.requests() {
		if len(r.body) > 500_000 {
			t.Errorf("a request of %d bytes", len(r.body))
		}
		var body struct {
			Batch []struct{ MessageID string }
		}
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Fatal(err)
		}
		for _, e := range body.Batch {
			got = append(got, e.MessageID)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d events in another order or number, want %d", len(got), len(want))
	}
	if c.Sent != 59 || c.Dropped[TooLarge] != 1 {
		t.Errorf("sent %d, dropped %v", c.Sent, c.droppedAtAll())
	}
}

func TestDamagedLetterIsDropped(t *testing.T) {
	v := newReceiver(t, nil)
	p := newPile()
	p.putBody([]byte("{"), at)
	p.put(visitor("ann"))
	if c := tell(t, rules.Destination{Kind: "segment", URL: v.URL}, p); c.Sent != 1 || c.Dropped[Damaged] != 1 {
		t.Errorf("sent %d, dropped %v", c.Sent, c.droppedAtAll())
	}
}

// TestRefusedConnection: who is not there yet is tried again.
func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	told := make(chan string, 10)
	p := newPile(visitor("ann"))
	o := &Outbox{Store: p, Log: slog.New(&telling{slog.DiscardHandler, told})}
	d := rules.Destination{Name: "it", Kind: "webhook", URL: "http://" + address, MaxBytes: 1 << 20}
	o.Use([]rules.Destination{d})
	if text := <-told; !strings.Contains(text, "does not take") {
		t.Errorf("the log says %q", text)
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	<-p.empty
	if text := <-told; !strings.Contains(text, "again") {
		t.Errorf("the log says %q", text)
	}
	o.Close(t.Context())
	if c := o.Counts()["it"]; c.Sent != 1 || c.Failed == 0 {
		t.Errorf("sent %d, failed %d", c.Sent, c.Failed)
	}
}

// telling hands on the messages of a log.
type telling struct {
	slog.Handler
	to chan string
}

func (h *telling) Enabled(context.Context, slog.Level) bool { return true }

func (h *telling) Handle(_ context.Context, r slog.Record) error {
	h.to <- r.Message
	return nil
}

// TestRedirectIsNotFollowed: the key is for nobody else.
func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := newReceiver(t, nil)
	moved := true
	var mu sync.Mutex
	v := newReceiver(t, func(n int, _ *request) (int, map[string]string, string) {
		mu.Lock()
		defer mu.Unlock()
		if moved {
			moved = false
			return http.StatusTemporaryRedirect, map[string]string{"Location": elsewhere.URL}, ""
		}
		return http.StatusOK, nil, ""
	})
	c := tell(t, rules.Destination{Kind: "segment", URL: v.URL, Key: "secret"}, newPile(visitor("ann")))
	if len(elsewhere.requests()) != 0 || c.Sent != 1 || c.Failed != 1 {
		t.Errorf("%d requests elsewhere, sent %d, failed %d", len(elsewhere.requests()), c.Sent, c.Failed)
	}
}

// passing is a pile whose queue can go away.
type passing struct {
	*pile
	away chan struct{} // has one for each time
}

func (w *passing) Take(ctx context.Context, queue string, most, bytes int) ([]store.Letter, error) {
	select {
	case <-w.away:
		return nil, store.ErrNoQueue
	default:
	}
	return w.pile.Take(ctx, queue, most, bytes)
}

// TestQueueWasAway: a set that was given up after the store had it takes the
// queues away, and the next one brings them back.
func TestQueueWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &passing{newPile(), make(chan struct{}, 1)}
		o, got := &Outbox{Store: p, Log: slog.New(slog.DiscardHandler)}, 0
		o.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			got++
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		list := []rules.Destination{{Name: "it", Kind: "webhook", URL: "http://it.test", MaxBytes: 1 << 20}}
		p.away <- struct{}{}
		o.Use(list)
		synctest.Wait()
		p.put(visitor("ann"))
		o.Use(list)
		synctest.Wait()
		if got != 1 {
			t.Errorf("%d requests, want 1", got)
		}
		o.Close(t.Context())
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestUse: a destination that is gone gets nothing more, one that came gets
// what waits, one that is as before goes on, and one that moved is told there.
func TestUse(t *testing.T) {
	old, fresh := newReceiver(t, nil), newReceiver(t, nil)
	p := newPile(visitor("ann"))
	o := &Outbox{Store: p, Log: slog.New(slog.DiscardHandler)}
	at := func(v *receiver) []rules.Destination {
		return []rules.Destination{{Name: "it", Kind: "webhook", URL: v.URL, MaxBytes: 1 << 20}}
	}
	o.Use(at(old))
	<-p.empty
	o.Use(at(old))
	p.put(visitor("bob"))
	<-p.empty
	o.Use(at(fresh))
	p.put(visitor("cid"))
	<-p.empty
	if a, b := len(old.requests()), len(fresh.requests()); a != 2 || b != 1 {
		t.Errorf("%d and %d requests, want 2 and 1", a, b)
	}
	if c := o.Counts()["it"]; c.Sent != 3 {
		t.Errorf("%d sent, want 3", c.Sent)
	}
	o.Use(nil)
	if c := o.Counts(); len(c) != 0 {
		t.Errorf("of no destination there is %v", c)
	}
	o.Close(t.Context())
	o.Use(at(old))
	if len(o.Counts()) != 0 {
		t.Error("a closed outbox takes destinations")
	}
	if !bytes.Contains(fresh.requests()[0].body, []byte(`"cid"`)) {
		t.Errorf("the new address got %s", fresh.requests()[0].body)
	}
}
