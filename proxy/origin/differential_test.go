package origin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// TestDifferential has many exchanges with one origin that answers as it is
// told, in pieces of any size, and compares what comes of each with what
// http.Transport makes of the same bytes.
func TestDifferential(t *testing.T) {
	var plans sync.Map // by path: the answer, and where it is cut
	address := raw(t, func(c *wire, n int) {
		for {
			req := c.request()
			if req == nil {
				return
			}
			v, _ := plans.Load(req.URL.Path)
			p := v.(*plan)
			body, _ := io.ReadAll(req.Body)
			p.got(fmt.Sprintf("%s %s %x %d %v", req.Method, req.RequestURI, sha256.Sum256(body), len(body), req.Trailer))
			for rest, cuts := p.answer, p.cuts; rest != ""; {
				k := len(rest)
				if len(cuts) > 0 {
					k, cuts = min(k, cuts[0]), cuts[1:]
				}
				c.send(rest[:k])
				rest = rest[k:]
			}
			if p.closes {
				return
			}
		}
	})
	o := servers(address, address) // and so it is one server
	ours := transport(t, Config{Origins: []rules.Origin{o}})
	std := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}
	defer std.CloseIdleConnections()

	random := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for worker := range 4 {
		seed := random.Uint64()
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(worker)))
			for i := range 150 {
				path := fmt.Sprintf("/%d/%d", worker, i)
				p := newPlan(random)
				plans.Store(path, p)
				got := p.outcome(ours, path, address)
				want := p.outcome(std, path, address)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("seed %d, worker %d, exchange %d: %s %q, cut at %v\ngot  %+v\nwant %+v", seed, worker, i, p.method, clip(p.answer), p.cuts, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
	if s := ours.State(); len(s) != 1 || s[0].InFlight != 0 || s[0].Connections > 4 {
		t.Errorf("%+v", s)
	}
}

// plan is a valid exchange.
type plan struct {
	method string
	body   string
	length int64 // of the request
	answer string
	cuts   []int
	closes bool // the answer ends with the connection

	mu   sync.Mutex // guards seen
	seen string
}

func (p *plan) got(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = s
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

func newPlan(random *rand.Rand) *plan {
	p := &plan{method: pick(random, "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE")}
	if p.method == "POST" || p.method == "PUT" {
		p.body = strings.Repeat("0123456789abcdef", random.IntN(pick(random, 2, 100, 5000)))
		p.length = pick(random, int64(len(p.body)), -1)
	}
	var b strings.Builder
	for range pick(random, 0, 0, 0, 1, 3) {
		fmt.Fprintf(&b, "HTTP/1.1 %d Wait\r\nLink: </%d>\r\n\r\n", pick(random, 102, 103), random.IntN(10))
	}
	status := pick(random, 200, 200, 200, 200, 204, 206, 301, 304, 404, 500)
	minor := pick(random, 1, 1, 1, 1, 0)
	fmt.Fprintf(&b, "HTTP/1.%d %d %s\r\n", minor, status, pick(random, "OK", "", "Some Reason"))
	names := []string{"Content-Type", "content-type", "Set-Cookie", "ETag", "x-a", "X-A", "Cache-Control", "Link", "P3p", "WWW-Authenticate"}
	for range random.IntN(30) {
		fmt.Fprintf(&b, "%s:%s%s%s\r\n", pick(random, names...), pick(random, "", " ", "\t "), pick(random, "", "a", "text/html; charset=utf-8", "a=b, c; d=\"e\"", "caf\xe9"), pick(random, "", " "))
	}
	body := strings.Repeat("<p>text</p>\r\n", random.IntN(pick(random, 2, 100, 20_000)))
	none := p.method == "HEAD" || status == 204 || status == 304
	switch framing := random.IntN(3); {
	case framing == 0 && status != 204 && minor == 1:
		b.WriteString("Transfer-Encoding: chunked\r\n")
		if random.IntN(3) == 0 {
			b.WriteString("Trailer: Digest, X-Sum\r\n")
		}
		b.WriteString("\r\n")
		if none {
			break
		}
		for rest := body; rest != ""; {
			n := min(len(rest), 1+random.IntN(pick(random, 10, 1000, 100_000)))
			fmt.Fprintf(&b, "%s%x%s\r\n%s\r\n", pick(random, "", "0"), n, pick(random, "", "", ";x=y"), rest[:n])
			rest = rest[n:]
		}
		b.WriteString("0\r\n")
		for range pick(random, 0, 0, 1, 2) {
			b.WriteString(pick(random, "Digest: abc\r\n", "x-sum: 1\r\n", "Unannounced: 2\r\n"))
		}
		b.WriteString("\r\n")
	case framing == 1 && !none:
		b.WriteString("\r\n" + body)
		p.closes = true
	default:
		if status != 204 {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
		}
		if p.closes = minor == 0 || random.IntN(5) == 0; p.closes && minor == 1 {
			b.WriteString("Connection: close\r\n")
		}
		b.WriteString("\r\n")
		if !none {
			b.WriteString(body)
		}
	}
	p.closes = p.closes || minor == 0
	p.answer = b.String()
	if p.closes && !none && random.IntN(4) == 0 {
		p.answer = p.answer[:len(p.answer)-random.IntN(len(body)+1)] // broken off, in the body
	}
	for left := len(p.answer); left > 0 && len(p.cuts) < 50; {
		n := 1 + random.IntN(pick(random, 5, 200, 50_000))
		p.cuts = append(p.cuts, n)
		left -= n
	}
	return p
}

// outcome is all that can be seen of an exchange.
type outcome struct {
	Request         string
	Interim         []string
	Status          string
	Header, Trailer http.Header
	Announced       []string
	Length          int64
	Close           bool
	Body            string
	Truncated       bool
	Err             string
}

func (p *plan) outcome(tr http.RoundTripper, path, address string) (out outcome) {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			out.Interim = append(out.Interim, fmt.Sprint(code, h))
			return nil
		},
	})
	req, err := http.NewRequestWithContext(ctx, p.method, address+path, nil)
	if err != nil {
		panic(err)
	}
	if p.body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(p.body)), p.length
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		out.Err = err.Error()
		return out
	}
	defer resp.Body.Close()
	for name := range resp.Trailer {
		out.Announced = append(out.Announced, name)
	}
	slices.Sort(out.Announced)
	b, err := io.ReadAll(resp.Body)
	out.Truncated = errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !out.Truncated {
		out.Err = err.Error()
	}
	out.Status, out.Header, out.Length, out.Close = resp.Status, resp.Header, resp.ContentLength, resp.Close
	if out.Trailer = resp.Trailer; len(out.Trailer) == 0 {
		out.Trailer = nil
	}
	if resp.Close {
		delete(out.Header, "Connection") // as net/http does
	}
	out.Body = fmt.Sprintf("%d %x", len(b), sha256.Sum256(b))
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Request = p.seen
	return out
}
