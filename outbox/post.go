package outbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

const (
	// answerTimeout is how long a destination may take for its answer.
	answerTimeout = 30 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 1 << 20
	library   = "refract"
	// envelope is what stands around the events of a request, in bytes, at most.
	envelope = 4 << 10
)

// vendor is what is a destination's own.
type vendor interface {
	// limits are how many events, and bytes of body, a request has at most.
	limits() (events, bytes int)
	// event returns the exposure in the vendor's form, or why it has none. It is not
	// called of a teller.
	event(x *store.Exposed) (event any, none Reason)
	// request returns a request with these events. Its context is not used.
	request(events []json.RawMessage, now time.Time) (*http.Request, error)
	// judge says what an answer to a request of n events means.
	judge(a *answer, n int) verdict
}

// answer is a destination's answer.
type answer struct {
	status int
	header http.Header
	body   []byte
	key    string // that the request showed; empty: none
}

// verdict is what an answer means.
type verdict struct {
	kind verdictKind
	// bad are the events that are refused: of a request that was taken, those
	// that were not; of one that was not, those that it failed for.
	bad []int
	why Reason // of bad; Refused if it is empty
	// Where it is to be tried again: what is for the log, the shortest pause, where
	// the answer asks for none, and whether it takes a person to mend something.
	text  string
	pause time.Duration
	mend  bool
}

type verdictKind int

const (
	taken    verdictKind = iota
	wrong                // in its content: to repeat it is of no use
	tooLarge             // fewer might be taken
	later                // to be repeated
)

// byStatus is what a status means where the vendor has nothing of its own.
// What a person can mend, such as a key, waits to be mended.
func byStatus(a *answer) verdict {
	switch s := a.status; {
	case s >= 200 && s < 300:
		return verdict{kind: taken}
	case s == http.StatusRequestEntityTooLarge:
		return verdict{kind: tooLarge}
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusPaymentRequired, s == http.StatusProxyAuthRequired:
		return verdict{kind: later, mend: true, text: a.text() + "; hint: is the key right, and may it write?"}
	case s < 400, s == http.StatusNotFound, s == http.StatusMethodNotAllowed, s == http.StatusGone:
		return verdict{kind: later, mend: true, text: a.text() + "; hint: is the address right?"}
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return verdict{kind: later, text: a.text()}
	}
	return verdict{kind: wrong}
}

// text is the answer for the log, shortened; before that, less the key, or a part
// of it could stay.
func (a *answer) text() string {
	const most = 200
	said := withoutKey(string(a.body), a.key)
	body := strings.Join(strings.Fields(strings.ToValidUTF8(said[:min(len(said), most)], "")), " ")
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", a.status, http.StatusText(a.status), body))
}

// withoutKey is what a destination said, less the key, should it repeat that,
// also as HTTP Basic has it: the log is not for secrets.
func withoutKey(said, key string) string {
	if key == "" {
		return said
	}
	return strings.NewReplacer(key, "(the key)", base64.StdEncoding.EncodeToString([]byte(key+":")), "(the key)").Replace(said)
}

// pause is how long the destination asks to wait: Retry-After (RFC 9110,
// 10.2.3), or X-RateLimit-Reset, which is a time.
func (a *answer) pause(now time.Time) time.Duration {
	after := a.header.Get("Retry-After")
	if s, err := strconv.ParseUint(after, 10, 31); err == nil {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(after); err == nil {
		return at.Sub(now)
	}
	if s, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64); err == nil && a.status == http.StatusTooManyRequests {
		return time.Unix(s, 0).Sub(now)
	}
	return 0
}

// poster sends events by HTTP.
type poster struct {
	client http.Client
	now    func() time.Time
	key    string
	vendor vendor
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: lanes, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
	}
}

func newClient(o *Outbox) http.Client {
	return http.Client{
		Transport: o.Transport,
		// What is sent, and the key with it, is for nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newPoster(o *Outbox, d rules.Destination) *poster {
	p := &poster{now: o.Now, client: newClient(o), key: d.Key}
	switch d.Kind {
	case "segment":
		p.vendor = &segment{d.URL, d.Key}
	case "posthog":
		p.vendor = &posthog{d.URL, d.Key, d.Group}
	case "mixpanel":
		p.vendor = &mixpanel{d.URL, d.Key, d.Group}
	case "amplitude":
		p.vendor = &amplitude{d.URL, d.Key, d.Group}
	case "braze":
		p.vendor = &braze{d.URL, d.Key}
	case rules.Notices + "slack":
		p.vendor = &slack{d.URL}
	case rules.Notices + "webhook":
		p.vendor = &noticeHook{webhook{d.URL, d.Key}}
	default:
		p.vendor = &webhook{d.URL, d.Key}
	}
	return p
}

func (p *poster) limits() (letters, bytes int) { return p.vendor.limits() }

func (p *poster) due(time.Time) time.Time { return time.Time{} }

// send makes one request of the letters, or of as many as fit. Events that the
// destination names as wrong are left out, and the others sent again at once.
func (p *poster) send(ctx context.Context, letters []store.Letter) result {
	r := result{dropped: map[Reason]int{}}
	var events []json.RawMessage
	_, room := p.vendor.limits()
	room -= envelope
	for _, l := range letters {
		event, none := p.encode(l.Body)
		if none == "" && len(event)+1 > room {
			if len(events) > 0 {
				break
			}
			none = TooLarge
		}
		r.done++
		if none != "" {
			r.dropped[none]++
			continue
		}
		room -= len(event) + 1
		events = append(events, event)
	}
	for len(events) > 0 {
		a, err := p.post(ctx, events)
		if err != nil {
			return result{err: err}
		}
		v := p.vendor.judge(a, len(events))
		switch {
		case v.kind == taken:
			if n := min(len(v.bad), len(events)); n > 0 {
				r.dropped[cmp.Or(v.why, Refused)] += n
			}
			return r
		case v.kind == later:
			return result{err: errors.New(v.text), pause: cmp.Or(a.pause(p.now()), v.pause)}
		case v.kind == wrong && len(v.bad) > 0:
			kept := without(events, v.bad)
			if len(kept) == len(events) {
				return result{err: errors.New(a.text() + ": it refuses events that were not sent")}
			}
			r.dropped[Refused] += len(events) - len(kept)
			events = kept
		case len(events) > 1:
			return result{err: errors.New(a.text()), fewer: true}
		case v.kind == tooLarge:
			r.dropped[TooLarge]++
			return r
		default:
			r.dropped[Refused]++
			return r
		}
	}
	return r
}

// encode returns a letter in the vendor's form, or why it has none.
func (p *poster) encode(letter []byte) (json.RawMessage, Reason) {
	var event any
	if t, ok := p.vendor.(teller); ok {
		var n store.Notice
		if json.Unmarshal(letter, &n) != nil {
			return nil, Damaged
		}
		event = t.tell(&n)
	} else {
		var x store.Exposed
		if json.Unmarshal(letter, &x) != nil {
			return nil, Damaged
		}
		var none Reason
		if event, none = p.vendor.event(&x); none != "" {
			return nil, none
		}
	}
	b, err := json.Marshal(event)
	if err != nil {
		return nil, Damaged
	}
	return b, ""
}

// without returns the events but those at the indexes.
func without(events []json.RawMessage, bad []int) []json.RawMessage {
	out := map[int]bool{}
	for _, i := range bad {
		out[i] = true
	}
	var kept []json.RawMessage
	for i, e := range events {
		if !out[i] {
			kept = append(kept, e)
		}
	}
	return kept
}

// post makes one request.
func (p *poster) post(ctx context.Context, events []json.RawMessage) (*answer, error) {
	req, err := p.vendor.request(events, p.now())
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", library)
	return exchange(ctx, &p.client, req, p.key)
}

// exchange sends a request, which shows a key, and returns the answer, within
// answerTimeout.
func exchange(ctx context.Context, client *http.Client, req *http.Request, key string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		// Without the address: a proxy's, or a vendor's, may have a key in it.
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("%s: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s: the answer broke off: %w", req.URL.Host, err)
	}
	return &answer{resp.StatusCode, resp.Header, body, key}, nil
}

// posted returns a request that posts a value as JSON.
func posted(to string, v any) (*http.Request, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// stamp is a time as the vendors' SDKs write it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// who is the visitor's best id; empty: none is known.
func who(x *store.Exposed) string { return cmp.Or(x.User, x.Anonymous) }

// account is the account that was exposed, or empty if a visitor was.
func account(x *store.Exposed) string {
	if x.Unit == "account" {
		return x.UnitID
	}
	return ""
}
