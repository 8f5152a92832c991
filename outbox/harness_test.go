package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

var at = time.Date(2026, 11, 28, 12, 0, 0, 5e6, time.UTC)

// visitor is an exposure of a visitor who is known by both kinds of id.
func visitor(id string) store.Exposed {
	return store.Exposed{
		ID: "00000000-0000-5000-8000-" + fmt.Sprintf("%012x", id), At: at, Rule: "home-hero", Version: "0123456789ab",
		Segment: "stuck", Surface: "home.hero", Arm: rules.Treatment, Treatment: 0.5,
		Unit: "visitor", UnitID: id, User: id, Anonymous: "device-" + id,
	}
}

// pile is a queue in memory.
type pile struct {
	mu      sync.Mutex
	letters []store.Letter
	next    uint64
	news    chan struct{}
	empty   chan struct{} // is sent to when the last letter is settled
}

func newPile(list ...store.Exposed) *pile {
	p := &pile{news: make(chan struct{}, 1), empty: make(chan struct{}, 1000)}
	p.put(list...)
	return p
}

func (p *pile) put(list ...store.Exposed) {
	for i := range list {
		body, err := json.Marshal(&list[i])
		if err != nil {
			panic(err)
		}
		p.putBody(body, at)
	}
}

func (p *pile) putBody(body []byte, at time.Time) {
	p.mu.Lock()
	p.letters = append(p.letters, store.Letter{Seq: p.next, At: at, Body: body})
	p.next++
	p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
}

func (p *pile) Take(ctx context.Context, queue string, most, bytes int) ([]store.Letter, error) {
	for {
		p.mu.Lock()
		n := 0
		for n < len(p.letters) && n < most {
			if bytes -= len(p.letters[n].Body); bytes < 0 && n > 0 {
				break
			}
			n++
		}
		letters := slices.Clone(p.letters[:n])
		p.mu.Unlock()
		if n > 0 {
			return letters, nil
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *pile) Settle(_ context.Context, queue string, letters []store.Letter) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range letters {
		if len(p.letters) == 0 || p.letters[0].Seq != l.Seq {
			return errors.New("settled out of order")
		}
		p.letters = p.letters[1:]
	}
	if len(p.letters) == 0 {
		p.empty <- struct{}{}
	}
	return nil
}

func (p *pile) Backlog(queue string) store.Backlog {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := store.Backlog{Pending: len(p.letters)}
	for _, l := range p.letters {
		b.Bytes += int64(len(l.Body))
	}
	return b
}

// request is what a destination was sent.
type request struct {
	method, path, query string
	header              http.Header
	body                []byte
}

// receiver is a destination on loopback. It answers what reply says, else 200.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	got   []request
	reply func(n int, r *request) (status int, header map[string]string, body string)
}

func newReceiver(t *testing.T, reply func(n int, r *request) (int, map[string]string, string)) *receiver {
	v := &receiver{reply: reply}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		q := request{r.Method, r.URL.Path, r.URL.RawQuery, r.Header, body}
		v.mu.Lock()
		n := len(v.got)
		v.got = append(v.got, q)
		v.mu.Unlock()
		status, header, answer := http.StatusOK, map[string]string(nil), ""
		if v.reply != nil {
			status, header, answer = v.reply(n, &q)
		}
		for k, s := range header {
			w.Header().Set(k, s)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *receiver) requests() []request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got)
}

// tell runs an outbox with one destination until its queue is empty, and
// returns how it stands then.
func tell(t *testing.T, d rules.Destination, p *pile) Count {
	t.Helper()
	o := &Outbox{Store: p, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return at.Add(time.Minute) }}
	d.Name = "it"
	if d.MaxBytes == 0 {
		d.MaxBytes = rules.DefaultQueueBytes
	}
	o.Use([]rules.Destination{d})
	<-p.empty
	o.Close(t.Context())
	return o.Counts()["it"]
}

func (c Count) droppedAtAll() map[Reason]uint64 {
	m := map[Reason]uint64{}
	for why, n := range c.Dropped {
		if n > 0 {
			m[why] = n
		}
	}
	return m
}

// decoded is a JSON text as a value.
func decoded(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func sameJSON(t *testing.T, what, got, want string) {
	t.Helper()
	if !reflect.DeepEqual(decoded(t, got), decoded(t, want)) {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}
