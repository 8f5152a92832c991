package outbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// lanes is how many requests of a tee are under way at once.
const lanes = 8

// tee sends on the requests that a source took, each as it came: its letters
// are HTTP/1.1 messages. Those of one address go one after the other, in order,
// those of several at once. To a vendor that has had one already, from a try
// whose answer was lost, it is a repetition by the SDK.
type tee struct {
	client http.Client
	url    string
	key    string
	now    func() time.Time
	judge  func(a *answer, n int) verdict
	trying context.Context // no further request once it is over
	// ahead are letters that are done with while one before them is not, by their
	// numbers: they need not be sent again, unless the process ends before.
	ahead map[uint64]outcome
}

func newTee(o *Outbox, d rules.Destination, trying context.Context) *tee {
	t := &tee{client: newClient(o), url: d.URL, key: d.Key, now: o.Now, trying: trying, ahead: map[uint64]outcome{}}
	switch strings.TrimPrefix(d.Kind, rules.Tee) {
	case "posthog":
		t.judge = (&posthog{}).judge
	case "amplitude":
		t.judge = (&amplitude{}).judge
	case "mixpanel":
		t.judge = judgeMixpanel
	default:
		t.judge = func(a *answer, _ int) verdict { return byStatus(a) }
	}
	return t
}

// judgeMixpanel: to what SDKs send, a refusal is the text 0 or a status of 0, and
// the status of HTTP is 200 all the same.
func judgeMixpanel(a *answer, n int) verdict {
	v := (&mixpanel{}).judge(a, n)
	var body struct {
		Status any `json:"status"`
	}
	text := bytes.TrimSpace(a.body)
	if v.kind == taken && (string(text) == "0" || json.Unmarshal(text, &body) == nil && body.Status == 0.0) {
		v.kind = wrong
	}
	return v
}

func (t *tee) limits() (letters, bytes int) { return 64, 8 << 20 }

func (t *tee) due(time.Time) time.Time { return time.Time{} }

// send sends letters until one has to wait. What a vendor refuses may be wrong in
// itself, and must not hold up the others; or the key or the address may be
// wrong, and all of it has to wait until somebody mends them. The other letters
// show which: one that is refused so is tried once more after another was taken,
// and then dropped. If none is taken, all wait.
func (t *tee) send(ctx context.Context, letters []store.Letter) result {
	outs := t.sendAll(ctx, letters)
	taken, mend := false, false
	for _, o := range outs {
		taken, mend = taken || o.done && o.dropped == "", mend || o.mend
	}
	r := result{dropped: map[Reason]int{}}
	for i, o := range outs {
		if o.mend && taken {
			if o = t.one(ctx, letters[i].Body); o.mend {
				o = outcome{done: true, dropped: Refused, said: o.err.Error()}
			}
		}
		if o.err != nil && r.err == nil {
			r.err = o.err
		}
		r.pause = max(r.pause, o.pause)
		if o.done && (taken || !mend) {
			t.ahead[letters[i].Seq] = o
		}
	}
	for _, l := range letters {
		o, done := t.ahead[l.Seq]
		if !done {
			break
		}
		delete(t.ahead, l.Seq)
		r.done++
		if o.dropped != "" {
			r.dropped[o.dropped]++
			r.said = o.said
		}
	}
	return r
}

// sendAll tries letters that are not done with, each address's in order until
// one has to wait for the vendor, and then no more of any. What was not tried
// has the zero outcome.
func (t *tee) sendAll(ctx context.Context, letters []store.Letter) []outcome {
	outs := make([]outcome, len(letters))
	var order []string
	from := map[string][]int{} // letters by the sender's address
	for seq := range t.ahead {
		if seq < letters[0].Seq {
			delete(t.ahead, seq) // the queue was full meanwhile
		}
	}
	for i, l := range letters {
		if _, done := t.ahead[l.Seq]; done {
			continue
		}
		a := address(l.Body)
		if from[a] == nil {
			order = append(order, a)
		}
		from[a] = append(from[a], i)
	}
	var all sync.WaitGroup
	var halt atomic.Bool
	free := make(chan struct{}, lanes)
	for _, a := range order {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			for _, i := range from[a] {
				if halt.Load() || t.trying.Err() != nil {
					return
				}
				if outs[i] = t.one(ctx, letters[i].Body); outs[i].err != nil && !outs[i].mend {
					halt.Store(true)
				}
			}
		})
	}
	all.Wait()
	return outs
}

// address is the one that a letter came from.
func address(letter []byte) string {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(letter)))
	if err != nil {
		return ""
	}
	return r.Header.Get("X-Forwarded-For")
}

// outcome is what became of one letter: it is done with, taken or dropped; or it
// has to wait because of err, which a person may have to mend; or it was not
// tried.
type outcome struct {
	done    bool
	dropped Reason
	said    string // by the destination, of what is dropped
	err     error
	mend    bool
	pause   time.Duration
}

// one sends one letter.
func (t *tee) one(ctx context.Context, letter []byte) outcome {
	req, err := t.request(letter)
	if err != nil {
		return outcome{done: true, dropped: Damaged, said: err.Error()}
	}
	a, err := exchange(ctx, &t.client, req, t.key)
	if err != nil {
		return outcome{err: err}
	}
	v := t.judge(a, 1)
	switch {
	case v.kind == later:
		return outcome{err: errors.New(v.text), mend: v.mend, pause: max(a.pause(t.now()), v.pause)}
	case v.kind == tooLarge:
		return outcome{done: true, dropped: TooLarge, said: a.text()}
	case v.kind == wrong:
		return outcome{done: true, dropped: Refused, said: a.text()}
	case v.why == Quota:
		return outcome{done: true, dropped: Quota, said: a.text()}
	}
	return outcome{done: true}
}

// request returns a letter as a request to the vendor.
func (t *tee) request(letter []byte) (*http.Request, error) {
	in, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(letter)))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	out, err := http.NewRequest(in.Method, t.url+in.RequestURI, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = in.Header
	if _, said := out.Header["User-Agent"]; !said {
		out.Header["User-Agent"] = []string{""} // or http.Transport makes one up
	}
	return out, nil
}
