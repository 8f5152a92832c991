package proxy

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/seed14307185/refract/rewrite/coding"
	"github.com/seed14307185/refract/rules"
)

// encoder is what the codings' writers have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
}

// encoders are the codings by name, as origins write them. raw is what some of
// them send as deflate.
var encoders = map[string]func(io.Writer) encoder{
	"gzip":    func(w io.Writer) encoder { return gzip.NewWriter(w) },
	"br":      func(w io.Writer) encoder { return brotli.NewWriter(w) },
	"deflate": func(w io.Writer) encoder { return zlib.NewWriter(w) },
	"raw": func(w io.Writer) encoder {
		e, _ := flate.NewWriter(w, 6) // the level exists
		return e
	},
	"zstd": func(w io.Writer) encoder {
		e, err := zstd.NewWriter(w)
		if err != nil {
			panic(err)
		}
		return e
	},
}

// inCoding returns a body in a coding.
func inCoding(coding, body string) string {
	var b bytes.Buffer
	e := encoders[coding](&b)
	io.WriteString(e, body)
	e.Close()
	return b.String()
}

// decoder undoes the coding that a response says it has.
func decoder(t testing.TB, resp *http.Response, body io.Reader) io.Reader {
	t.Helper()
	var err error
	switch c := resp.Header.Get("Content-Encoding"); c {
	case "":
	case "gzip":
		body, err = gzip.NewReader(body)
	case "br":
		body = brotli.NewReader(body)
	case "zstd":
		body, err = zstd.NewReader(body)
	case "deflate":
		body, err = zlib.NewReader(body)
	default:
		t.Fatalf("the answer is in the coding %q", c)
	}
	if err != nil {
		t.Fatalf("%s: %v", resp.Header.Get("Content-Encoding"), err)
	}
	return body
}

func decoded(t testing.TB, resp *http.Response, body string) string {
	t.Helper()
	b, err := io.ReadAll(decoder(t, resp, strings.NewReader(body)))
	if err != nil {
		t.Fatalf("%s: %v", resp.Header.Get("Content-Encoding"), err)
	}
	return string(b)
}

// name is the coding's in HTTP.
func name(coding string) string {
	if coding == "raw" {
		return "deflate"
	}
	return coding
}

// longPage is a page of some hundred kilobytes that isn't easily compressed.
func longPage() string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(cardPage, "</body></html>"))
	for b.Len() < 200<<10 {
		fmt.Fprintf(&b, "<p>%x</p>\n", rand.Uint64())
	}
	return b.String() + "</body></html>"
}

func TestCodedPages(t *testing.T) {
	for coding := range encoders {
		for size, page := range map[string]string{"short": cardPage, "long": longPage()} {
			t.Run(coding+" "+size, func(t *testing.T) {
				edge, s, p := front(t, pageWith(inCoding(coding, page), "Content-Encoding", name(coding), "ETag", `"a"`, "Vary", "X-Other"))
				var headers []string
				for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
					resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm), "Accept-Encoding", "gzip, deflate, br, zstd")
					if c := resp.Header.Get("Content-Encoding"); c != name(coding) {
						t.Errorf("the answer is in %q", c)
					}
					got := decoded(t, resp, body)
					if treated := strings.Contains(got, "Invite a teammate"); treated != (arm == rules.Treatment) || !treated && got != page {
						t.Errorf("%s sees %.300q", arm, got)
					}
					if v := strings.Join(resp.Header["Vary"], ", "); v != "X-Other, Cookie, Accept-Encoding" || !marked(resp, `"a"`) || resp.ContentLength != -1 {
						t.Errorf("Vary %q, length %d, %v", v, resp.ContentLength, resp.Header)
					}
					headers = append(headers, form(resp))
				}
				if headers[0] != headers[1] {
					t.Errorf("the arms can be told apart by their headers:\n%s", strings.Join(headers, "\n"))
				}
				if len(s.exposures) != 2 {
					t.Errorf("exposures: %+v", s.exposures)
				}
				// Who isn't in the experiment gets the app's own bytes.
				resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user=stranger", "Accept-Encoding", "gzip, deflate, br, zstd")
				if body != inCoding(coding, page) || resp.Header.Get("ETag") != `"a"` {
					t.Errorf("a stranger gets %d bytes, %v", len(body), resp.Header)
				}
			})
		}
	}
}

func TestCodingsAskedForAndAnswered(t *testing.T) {
	for _, c := range []struct {
		client string // "-" for no header
		asked  string
		origin string // what it answers in
		want   string // what the visitor gets
		vary   bool
	}{
		{"gzip, deflate, br, zstd", "gzip, deflate, br, zstd", "", "", false},
		{"gzip, deflate, br, zstd, dcb", "gzip, deflate, br, zstd", "zstd", "zstd", true},
		{"br;q=0.5, gzip, compress", "br;q=0.5, gzip", "br", "br", true},
		{"gzip", "gzip", "br", "gzip", true}, // it wasn't asked for
		{"identity", "identity", "gzip", "", true},
		{"gzip;q=0", "identity", "", "", false},
		{"identity;q=0, zstd", "zstd", "", "zstd", true},
		{"-", "-", "gzip", "gzip", true},
		{"-", "-", "", "", false},
	} {
		t.Run(c.client+" "+c.origin, func(t *testing.T) {
			var asked []string
			edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.Header["Accept-Encoding"]
				if c.origin == "" {
					pageWith(cardPage).ServeHTTP(w, r)
				} else {
					pageWith(inCoding(c.origin, cardPage), "Content-Encoding", c.origin).ServeHTTP(w, r)
				}
			}))
			header := []string{"Cookie", "user=" + s.member(p, "invite-teammate", rules.Treatment)}
			want := []string{c.asked}
			if c.client == "-" {
				want = nil
			} else {
				header = append(header, "Accept-Encoding", c.client)
			}
			for _, method := range []string{"GET", "HEAD"} {
				resp, body := do(t, method, edge+"/projects/7", header...)
				if fmt.Sprint(asked) != fmt.Sprint(want) {
					t.Errorf("%s: the origin is asked for %q", method, asked)
				}
				if got := resp.Header.Get("Content-Encoding"); got != c.want {
					t.Errorf("%s: the answer is in %q", method, got)
				}
				if fmt.Sprint(resp.Header["Vary"]) == "[Cookie Accept-Encoding]" != c.vary {
					t.Errorf("%s: Vary %q", method, resp.Header["Vary"])
				}
				if method == "GET" && !strings.Contains(decoded(t, resp, body), "Invite a teammate") {
					t.Errorf("the page is %q", decoded(t, resp, body))
				}
			}
		})
	}
}

// TestBrokenCodings: what can't be decoded goes through to the byte, with the
// origin's own headers.
func TestBrokenCodings(t *testing.T) {
	sound := inCoding("gzip", cardPage)
	for name, c := range map[string]struct {
		coding, body string
		broken       bool
	}{
		"nothing":            {"gzip", "", true},
		"uncoded":            {"gzip", cardPage, true},
		"another coding":     {"zstd", inCoding("br", cardPage), true},
		"a wrong checksum":   {"gzip", sound[:len(sound)-8] + "12345678", true},
		"a cut one":          {"gzip", sound[:len(sound)-10], true},
		"two, one after one": {"gzip, br", inCoding("br", sound), false},
		"a dictionary's":     {"dcb", "\xff\x44\x43\x42", false},
		"an unknown one":     {"rot13", cardPage, false},
		"a large window":     {"br", "\x11\x1e" + cardPage, true},
		"long, and uncoded":  {"br", longPage(), true},
	} {
		t.Run(name, func(t *testing.T) {
			edge, s, p := front(t, pageWith(c.body, "Content-Encoding", c.coding, "ETag", `"a"`, "Content-Length", fmt.Sprint(len(c.body))))
			v := s.member(p, "invite-teammate", rules.Treatment)
			resp, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+v, "Accept-Encoding", "gzip, br")
			if body != c.body || resp.ContentLength != int64(len(c.body)) || resp.Header.Get("Content-Encoding") != c.coding || resp.Header.Get("ETag") != `"a"` || resp.Header.Get("Vary") != "Cookie" {
				t.Errorf("%d bytes of %d, %v", len(body), len(c.body), resp.Header)
			}
			s.wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if x := s.exchanges[0]; len(s.exposures) != 0 || x.Passthrough != ReasonCoding || (x.Broken != nil) != c.broken {
				t.Errorf("reason %q, broken %v, exposures %+v", x.Passthrough, x.Broken, s.exposures)
			}
		})
	}
}

// TestCorruptLater: what has begun to be served must look truncated, whichever
// way it breaks, and is no exposure.
func TestCorruptLater(t *testing.T) {
	page := longPage()
	for c := range encoders {
		for how, after := range map[string]func(http.ResponseWriter){
			"garbage":   func(w http.ResponseWriter) { io.WriteString(w, strings.Repeat("\xff\x00\xaa garbage", 9000)) },
			"truncated": func(http.ResponseWriter) {},
			"cut off":   func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		} {
			for _, accept := range []string{"gzip, br, zstd, deflate", "identity"} {
				t.Run(c+" "+how+" to "+accept, func(t *testing.T) {
					sound := inCoding(c, page)
					edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						pageWith(sound[:len(sound)*3/4], "Content-Encoding", name(c)).ServeHTTP(w, r)
						http.NewResponseController(w).Flush()
						after(w)
					}))
					req, _ := http.NewRequest("GET", edge+"/projects/7", nil)
					req.Header = http.Header{"Cookie": {"user=" + s.member(p, "invite-teammate", rules.Control)}, "Accept-Encoding": {accept}}
					resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					body, err := io.ReadAll(resp.Body)
					if err == nil {
						t.Errorf("%d bytes end as if they were whole", len(body))
					}
					// Nothing that came before is lost.
					got, _ := io.ReadAll(decoder(t, resp, bytes.NewReader(body))) // it has no end
					if at := min(len(got), len(page)/2); at < len(page)/2 || string(got[:at]) != page[:at] {
						t.Errorf("%d bytes of the page come", len(got))
					}
					s.wait()
					s.mu.Lock()
					defer s.mu.Unlock()
					if len(s.exposures) != 0 || s.exchanges[0].OriginError == nil || errors.Is(s.exchanges[0].OriginError, coding.ErrCorrupt) != (how != "cut off") {
						t.Errorf("exposures %+v, error %v", s.exposures, s.exchanges[0].OriginError)
					}
				})
			}
		}
	}
}

// TestCodedPageStreams: what the origin has flushed is with the visitor before
// the origin goes on, or this would be a deadlock.
func TestCodedPageStreams(t *testing.T) {
	parts := []string{cardPage[:40], cardPage[40:], "<p>later", "<p>last"}
	for coding := range encoders {
		t.Run(coding, func(t *testing.T) {
			read := make(chan bool)
			edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.Header().Set("Content-Encoding", name(coding))
				e := encoders[coding](w)
				for _, part := range parts {
					io.WriteString(e, part)
					e.Flush()
					http.NewResponseController(w).Flush()
					<-read
				}
				e.Close()
			}))
			req, _ := http.NewRequest("GET", edge+"/projects/7", nil)
			req.Header = http.Header{"Cookie": {"user=" + s.member(p, "invite-teammate", rules.Treatment)}, "Accept-Encoding": {name(coding)}}
			resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body := decoder(t, resp, resp.Body)
			var got string
			for _, until := range []string{"<html>", "rest", "later", "last"} {
				for b := make([]byte, 1); !strings.Contains(got, until); got += string(b) {
					if _, err := io.ReadFull(body, b); err != nil {
						t.Fatalf("after %q: %v", got, err)
					}
				}
				read <- true
			}
			rest, err := io.ReadAll(body)
			if err != nil || len(rest) != 0 || !strings.Contains(got, "Invite a teammate") {
				t.Errorf("%q, then %q, %v", got, rest, err)
			}
		})
	}
}

// TestVisitorLeavesACodedPage: nothing of the exchange stays, also where the
// origin says nothing any more.
func TestVisitorLeavesACodedPage(t *testing.T) {
	left := make(chan bool)
	edge, s, p := front(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		e := gzip.NewWriter(w)
		io.WriteString(e, cardPage)
		e.Flush()
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	}))
	req, _ := http.NewRequest("GET", edge+"/projects/7", nil)
	req.Header = http.Header{"Cookie": {"user=" + s.member(p, "invite-teammate", rules.Treatment)}, "Accept-Encoding": {"gzip"}}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	<-left
	s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.exchanges[0]; !x.ClientGone || len(s.exposures) != 0 {
		t.Errorf("client gone: %v, exposures %+v", x.ClientGone, s.exposures)
	}
}

// TestVisitorCannotBeWrittenTo is that without a word from the server: the
// page must be closed though the origin says nothing and nobody ends it.
func TestVisitorCannotBeWrittenTo(t *testing.T) {
	_, s, p := front(t, http.NotFoundHandler())
	v := s.member(p, "invite-teammate", rules.Treatment)
	synctest.Test(t, func(t *testing.T) {
		body, origin := io.Pipe()
		p.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, Request: r, Body: body,
				Header: http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"gzip"}},
			}, nil
		})
		go func() {
			e := gzip.NewWriter(origin)
			io.WriteString(e, cardPage)
			e.Flush()
		}()
		r := httptest.NewRequest("GET", "/projects/7", nil)
		r.Header = http.Header{"Cookie": {"user=" + v}, "Accept-Encoding": {"gzip"}}
		p.ServeHTTP(brokenWriter{httptest.NewRecorder()}, r)
	})
	if len(s.exposures) != 0 || len(s.exchanges[0].Sightings) != 1 {
		t.Errorf("exposures %+v, sightings %+v", s.exposures, s.exchanges[0].Sightings)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
