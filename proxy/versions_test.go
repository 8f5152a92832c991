package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// client is a visitor who speaks one version of HTTP.
type client struct {
	*http.Client
	edge string
	*seen
	*Proxy
}

// versions runs a test with a visitor who speaks HTTP/1.1, and one who speaks
// HTTP/2.
func versions(t *testing.T, app http.Handler, test func(*testing.T, client)) {
	for major, name := range map[int]string{1: "HTTP1", 2: "HTTP2"} {
		t.Run(name, func(t *testing.T) {
			_, s, p := front(t, app)
			server := httptest.NewUnstartedServer(p)
			server.EnableHTTP2 = major == 2
			server.StartTLS()
			t.Cleanup(server.Close)
			c := server.Client()
			c.Transport.(*http.Transport).DisableCompression = true
			c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			resp, err := c.Get(server.URL + "/version")
			if err != nil || resp.ProtoMajor != major {
				t.Fatalf("%v, %v", resp, err)
			}
			resp.Body.Close()
			s.wait()
			s.mu.Lock()
			s.exchanges = nil
			s.mu.Unlock()
			test(t, client{c, server.URL, s, p})
		})
	}
}

// get asks for a page as a visitor.
func (c client) get(t testing.TB, path, visitor string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.edge+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", "user="+visitor)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func readAll(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStreamsAreNotHeld: what the origin has flushed is with the visitor before
// the origin goes on, or this would be a deadlock.
func TestStreamsAreNotHeld(t *testing.T) {
	for _, contentType := range []string{"text/event-stream", "application/x-ndjson", "application/json", "text/html; charset=utf-8", "text/plain", "text/plain, sized"} {
		contentType, sized := strings.CutSuffix(contentType, ", sized")
		t.Run(fmt.Sprint(contentType, " sized ", sized), func(t *testing.T) {
			read := make(chan bool)
			versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/version" {
					return
				}
				w.Header().Set("Content-Type", contentType)
				if sized {
					w.Header().Set("Content-Length", "27")
				}
				for i := range 3 {
					fmt.Fprintf(w, "data: %d\n\n", i)
					http.NewResponseController(w).Flush()
					<-read
				}
			}), func(t *testing.T, c client) {
				for _, own := range []bool{false, true} { // the transport knows what it has read already
					if own {
						byOrigin(t, c.Proxy)
					}
					resp := c.get(t, "/projects/7", c.member(c.Proxy, "invite-teammate", rules.Treatment))
					for i := range 3 {
						want := fmt.Sprintf("data: %d\n\n", i)
						b := make([]byte, len(want))
						if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
							t.Fatalf("%q, %v", b, err)
						}
						read <- true
					}
					if rest := readAll(t, resp); rest != "" || resp.ContentLength == -1 == sized {
						t.Errorf("then %q; the length was said to be %d", rest, resp.ContentLength)
					}
				}
			})
		})
	}
}

// TestRegionIsHeldAlone: what comes before a region that is not complete is
// with the visitor already.
func TestRegionIsHeldAlone(t *testing.T) {
	read := make(chan bool)
	before, rest, _ := strings.Cut(cardPage, "<div")
	versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, before+"<div"+rest[:40])
		http.NewResponseController(w).Flush()
		<-read
		io.WriteString(w, rest[40:])
	}), func(t *testing.T, c client) {
		resp := c.get(t, "/projects/7", c.member(c.Proxy, "invite-teammate", rules.Treatment))
		b := make([]byte, len(before))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != before {
			t.Fatalf("%q, %v", b, err)
		}
		read <- true
		if got := readAll(t, resp); !strings.Contains(got, "Invite a teammate") {
			t.Errorf("then %q", got)
		}
	})
}

// TestInformational: 1xx responses come in order and as they were, before the
// one that they announce.
func TestInformational(t *testing.T) {
	links := []string{"</a.css>; rel=preload; as=style", "</b.js>; rel=preload; as=script"}
	versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, link := range links {
			w.Header().Set("Link", link)
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Del("Link")
		w.WriteHeader(http.StatusProcessing)
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, cardPage)
	}), func(t *testing.T, c client) {
		var got []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			got = append(got, fmt.Sprint(code, h))
			return nil
		}})
		r, _ := http.NewRequestWithContext(ctx, "GET", c.edge+"/projects/7", nil)
		r.Header.Set("Cookie", "user="+c.member(c.Proxy, "invite-teammate", rules.Treatment))
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		want := fmt.Sprint([]string{"103 map[Link:[" + links[0] + "]]", "103 map[Link:[" + links[1] + "]]", "102 map[]"})
		if fmt.Sprint(got) != want {
			t.Errorf("the visitor sees %s, want %s", got, want)
		}
		if resp.Header["Link"] != nil || resp.StatusCode != 200 || !strings.Contains(readAll(t, resp), "Invite a teammate") {
			t.Errorf("%s, %v", resp.Status, resp.Header)
		}
	})
}

func TestTrailers(t *testing.T) {
	for _, page := range []bool{false, true} {
		t.Run(fmt.Sprint("page ", page), func(t *testing.T) {
			versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", map[bool]string{true: "text/html", false: "application/octet-stream"}[page])
				w.Header().Set("Trailer", "X-Announced, Repr-Digest, Content-Digest")
				w.WriteHeader(200)
				io.WriteString(w, cardPage)
				w.Header().Set("X-Announced", "1")
				w.Header().Set("Repr-Digest", "sha-256=:a:")
				w.Header().Set("Content-Digest", "sha-256=:b:")
				w.Header().Set(http.TrailerPrefix+"X-Unannounced", "2")
				w.Header().Set(http.TrailerPrefix+"Digest", "c")
			}), func(t *testing.T, c client) {
				for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
					resp := c.get(t, "/projects/7", c.member(c.Proxy, "invite-teammate", arm), "TE", "trailers")
					announced := fmt.Sprint(resp.Trailer)
					body := readAll(t, resp)
					want := http.Header{"X-Announced": {"1"}, "X-Unannounced": {"2"}}
					if !page {
						want["Repr-Digest"], want["Content-Digest"], want["Digest"] = []string{"sha-256=:a:"}, []string{"sha-256=:b:"}, []string{"c"}
					}
					if fmt.Sprint(resp.Trailer) != fmt.Sprint(want) {
						t.Errorf("%s gets the trailers %v", arm, resp.Trailer)
					}
					if page == strings.Contains(announced, "Digest") || !strings.Contains(announced, "X-Announced") {
						t.Errorf("%s is told of the trailers %s", arm, announced)
					}
					if changed := strings.Contains(body, "Invite"); changed != (page && arm == rules.Treatment) {
						t.Errorf("%s sees %s", arm, body)
					}
				}
			})
		})
	}
}

// TestTruncationLooksLikeIt: an answer that the origin breaks off is broken off
// to the visitor, in whatever way their version of HTTP has, and is the
// origin's error.
func TestTruncationLooksLikeIt(t *testing.T) {
	for _, contentType := range []string{"text/html", "application/octet-stream"} {
		for _, sized := range []bool{false, true} {
			t.Run(fmt.Sprint(contentType, " sized ", sized), func(t *testing.T) {
				versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/version" {
						return
					}
					w.Header().Set("Content-Type", contentType)
					if sized {
						w.Header().Set("Content-Length", "1000")
					}
					io.WriteString(w, cardPage)
					http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}), func(t *testing.T, c client) {
					r, _ := http.NewRequestWithContext(t.Context(), "GET", c.edge+"/projects/7", nil)
					r.Header.Set("Cookie", "user="+c.member(c.Proxy, "invite-teammate", rules.Control))
					resp, err := c.Do(r)
					if err == nil { // else not even the head came
						defer resp.Body.Close()
						var b []byte
						if b, err = io.ReadAll(resp.Body); err == nil {
							t.Errorf("%q ends as if it were whole", b)
						}
					}
					c.wait()
					c.mu.Lock()
					defer c.mu.Unlock()
					if x := c.exchanges[0]; x.OriginError == nil || x.ClientGone || len(c.exposures) != 0 {
						t.Errorf("error %v, client gone %v, exposures %v", x.OriginError, x.ClientGone, c.exposures)
					}
				})
			})
		}
	}
}

// TestVisitorLeaves: the origin's work ends with the visitor's interest in it,
// and that is nobody's error.
func TestVisitorLeaves(t *testing.T) {
	for _, when := range []string{"before the head", "in the body"} {
		t.Run(when, func(t *testing.T) {
			asked, left := make(chan bool), make(chan bool)
			versions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/version" {
					return
				}
				if when == "in the body" {
					io.WriteString(w, "some")
					http.NewResponseController(w).Flush()
				}
				asked <- true
				<-r.Context().Done()
				left <- true
			}), func(t *testing.T, c client) {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", c.edge+"/", nil)
				ctx, leave := context.WithCancel(t.Context())
				go func() {
					<-asked
					leave()
				}()
				// While Go's client says goodbye by TLS, it may still take what comes.
				if resp, err := c.Do(r.WithContext(ctx)); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				<-left
				c.wait()
				c.mu.Lock()
				defer c.mu.Unlock()
				if x := c.exchanges[0]; !x.ClientGone {
					t.Errorf("status %d, origin error %v", x.Status, x.OriginError)
				}
			})
		})
	}
}

// TestGRPC: an answer of HTTP/2 in both directions, with its status in the
// trailers, also where there is nothing else.
func TestGRPC(t *testing.T) {
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			t.Errorf("the origin is asked by %s with TE %q", r.Proto, r.Header.Get("Te"))
		}
		w.Header().Set("Content-Type", "application/grpc")
		if r.URL.Path == "/refused" {
			w.Header().Set("Grpc-Status", "7")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		http.NewResponseController(w).Flush()
		b := make([]byte, 8)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				break
			}
			w.Write(bytes.ToUpper(b)) // answered before the next is sent
			http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
	}))
	origin.EnableHTTP2 = true
	origin.StartTLS()
	defer origin.Close()
	_, _, p := front(t, http.NotFoundHandler())
	p.Origin.Scheme, p.Origin.Host = "https", origin.Listener.Addr().String()
	p.Transport = origin.Client().Transport
	edge := httptest.NewUnstartedServer(p)
	edge.EnableHTTP2 = true
	edge.StartTLS()
	defer edge.Close()

	body, send := io.Pipe()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", edge.URL+"/echo", body)
	r.Header.Set("Te", "trailers")
	r.Header.Set("Content-Type", "application/grpc")
	resp, err := edge.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, word := range []string{"abcdefgh", "ijklmnop"} {
		io.WriteString(send, word)
		b := make([]byte, 8)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != strings.ToUpper(word) {
			t.Fatalf("%q, %v", b, err)
		}
	}
	send.Close()
	if rest := readAll(t, resp); rest != "" || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("%q, %v", rest, resp.Trailer)
	}
	r, _ = http.NewRequestWithContext(t.Context(), "POST", edge.URL+"/refused", nil)
	r.Header.Set("Te", "trailers")
	refused, err := edge.Client().Do(r)
	if err != nil || refused.Header.Get("Grpc-Status") != "7" {
		t.Fatal(refused, err)
	}
	refused.Body.Close()
}
