package origin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// TestHostile sends what no sound origin sends. None of it may come out as a
// whole response, and none of the connections may serve again.
func TestHostile(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	const chunks = ok + "Transfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("x", 10<<10)
	for _, test := range []struct {
		name, response string
		want           error
	}{
		{"nothing", "", io.ErrUnexpectedEOF},
		{"half a status line", "HTTP/1.1 20", io.ErrUnexpectedEOF},
		{"half a head", ok + "A: b\r\n", io.ErrUnexpectedEOF},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", ErrMalformed},
		{"HTTP/0.9", "<html>hello</html>", ErrMalformed},
		{"empty line first", "\r\n" + ok + "\r\n", ErrMalformed},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", ErrMalformed},
		{"small letters", "http/1.1 200 OK\r\n\r\n", ErrMalformed},
		{"two-digit version", "HTTP/1.10 200 OK\r\n\r\n", ErrMalformed},
		{"no status", "HTTP/1.1\r\n\r\n", ErrMalformed},
		{"two-digit status", "HTTP/1.1 20 OK\r\n\r\n", ErrMalformed},
		{"four-digit status", "HTTP/1.1 2000 OK\r\n\r\n", ErrMalformed},
		{"status 099", "HTTP/1.1 099 Low\r\n\r\n", ErrMalformed},
		{"status +20", "HTTP/1.1 +20 OK\r\n\r\n", ErrMalformed},
		{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", ErrMalformed},
		{"CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", ErrMalformed},
		{"no colon", ok + "Broken\r\n\r\n", ErrMalformed},
		{"no name", ok + ": value\r\n\r\n", ErrMalformed},
		{"space before the colon", ok + "Content-Length : 2\r\n\r\nhi", ErrMalformed},
		{"space in a name", ok + "Content Length: 2\r\n\r\nhi", ErrMalformed},
		{"folded line", ok + "A: b\r\n c\r\n\r\n", ErrMalformed},
		{"folded first line", ok + " A: b\r\n\r\n", ErrMalformed},
		{"NUL in a value", ok + "A: b\x00c\r\n\r\n", ErrMalformed},
		{"CR in a value", ok + "A: b\rContent-Length: 0\r\n\r\n", ErrMalformed},
		{"two CR", ok + "A: b\r\r\n\r\n", ErrMalformed},
		{"control character in a value", ok + "A: \x1b[2J\r\n\r\n", ErrMalformed},
		{"DEL in a value", ok + "A: \x7f\r\n\r\n", ErrMalformed},
		{"head too large", ok + "A: " + long + "\r\n\r\n", ErrMalformed},
		{"head too large, in many fields", ok + strings.Repeat("A: 0123456789\r\n", 550) + "\r\n", ErrMalformed},
		{"too many fields", ok + strings.Repeat("A: b\r\n", 101) + "\r\n", ErrMalformed},
		{"head without end", ok + strings.Repeat("A: b\r\n", 2000), ErrMalformed},
		{"line without end", strings.Repeat("HTTP/1.1 200 OK", 2000), ErrMalformed},
		{"differing lengths", ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", ErrMalformed},
		{"list of lengths", ok + "Content-Length: 2, 2\r\n\r\nhi", ErrMalformed},
		{"signed length", ok + "Content-Length: +2\r\n\r\nhi", ErrMalformed},
		{"negative length", ok + "Content-Length: -2\r\n\r\nhi", ErrMalformed},
		{"hexadecimal length", ok + "Content-Length: 0x2\r\n\r\nhi", ErrMalformed},
		{"empty length", ok + "Content-Length:\r\n\r\n", ErrMalformed},
		{"immense length", ok + "Content-Length: 9223372036854775808\r\n\r\nhi", ErrMalformed},
		{"broken length of a 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: no\r\n\r\n", ErrMalformed},
		{"length and coding", ok + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"unknown coding", ok + "Transfer-Encoding: gzip\r\n\r\n", ErrMalformed},
		{"two codings", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ErrMalformed},
		{"chunked twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrMalformed},
		{"misspelt coding", ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", ErrMalformed},
		{"chunked with a parameter", ok + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", ErrMalformed},
		{"coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrMalformed},
		{"unasked switch", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ErrMalformed},
		{"interim heads without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n", 500), ErrMalformed},
		{"interim, then nothing", "HTTP/1.1 103 Early Hints\r\n\r\n", io.ErrUnexpectedEOF},

		{"short body", ok + "Content-Length: 5\r\n\r\nhi", io.ErrUnexpectedEOF},
		{"no body", ok + "Content-Length: 5\r\n\r\n", io.ErrUnexpectedEOF},
		{"no chunk", chunks, io.ErrUnexpectedEOF},
		{"half a size", chunks + "5", io.ErrUnexpectedEOF},
		{"half a chunk", chunks + "5\r\nhi", io.ErrUnexpectedEOF},
		{"no end of a chunk", chunks + "2\r\nhi", io.ErrUnexpectedEOF},
		{"no last chunk", chunks + "2\r\nhi\r\n", io.ErrUnexpectedEOF},
		{"no end of the last chunk", chunks + "2\r\nhi\r\n0\r\n", io.ErrUnexpectedEOF},
		{"half a trailer", chunks + "2\r\nhi\r\n0\r\nA: b\r\n", io.ErrUnexpectedEOF},
		{"empty size", chunks + "\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"size that is no number", chunks + "g\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"size with 0x", chunks + "0x2\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"size with a sign", chunks + "+2\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"size with a space before", chunks + " 2\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"size with an underscore", chunks + "1_0\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"immense size", chunks + "8000000000000000\r\nhi", ErrMalformed},
		{"size of too many digits", chunks + "00000000000000002\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"size without CR", chunks + "2\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"CR in an extension", chunks + "2;a\rb\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"NUL in an extension", chunks + "2;a\x00\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"long extension", chunks + "2;" + long + "\r\nhi\r\n0\r\n\r\n", ErrMalformed},
		{"extensions without end", chunks + strings.Repeat("1;"+long[:1000]+"\r\nh\r\n", 30), ErrMalformed},
		{"chunk longer than its size", chunks + "2\r\nhi!\r\n0\r\n\r\n", ErrMalformed},
		{"chunk that ends with LF", chunks + "2\r\nhi\n0\r\n\r\n", ErrMalformed},
		{"trailer without colon", chunks + "0\r\nA\r\n\r\n", ErrMalformed},
		{"trailer without CR", chunks + "0\r\nA: b\n\r\n", ErrMalformed},
		{"folded trailer", chunks + "0\r\nA: b\r\n c\r\n\r\n", ErrMalformed},
		{"long trailer", chunks + "0\r\nA: " + long + "\r\n\r\n", ErrMalformed},
		{"many trailers", chunks + "0\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n", ErrMalformed},
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s/%d", test.name, step), func(t *testing.T) {
				gone := make(chan bool, 10)
				address := raw(t, func(c *wire, n int) {
					if c.request() == nil {
						t.Error("no request came")
					}
					step := max(step, len(test.response)/500)
					for s := test.response; s != ""; {
						k := min(step, len(s))
						c.send(s[:k])
						s = s[k:]
					}
					if test.want == ErrMalformed {
						gone <- c.closed()
					}
				})
				tr := transport(t, Config{Origins: []rules.Origin{servers(address)}, Limits: rules.Limits{HeaderBytes: 8 << 10, Headers: 100}})
				req := get(t, "/")
				req.Method = http.MethodPost // which is not sent again
				resp, body, err := fetch(tr, req)
				if !errors.Is(err, test.want) {
					t.Fatalf("got %v, %q, %v; want %v", resp, body, err, test.want)
				}
				var e *Error
				if !errors.As(err, &e) || e.Server != address || e.Timeout() {
					t.Errorf("%v does not name the server, or is a time-out", err)
				}
				if test.want == ErrMalformed && !<-gone {
					t.Error("the connection stays")
				}
				if s := tr.State()[0]; s.InFlight != 0 || s.Connections != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// TestOdd sends what is odd but right: what comes out is what http.Transport
// makes of it, unless want says else.
func TestOdd(t *testing.T) {
	for _, test := range []struct {
		name, response string
		method         string
		close          bool // the end of the connection ends the body
	}{
		{"no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"empty reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"reason beyond ASCII", "HTTP/1.1 404 Не найдено\r\nContent-Length: 0\r\n\r\n", "GET", false},
		{"unknown status", "HTTP/1.1 999 Denied\r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\nA: b\n\nhi", "GET", false},
		{"small letters", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-ID: 7\r\n\r\nhi", "GET", false},
		{"empty values", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA:\r\nB: \t \r\n\r\nhi", "GET", false},
		{"white space", "HTTP/1.1 200 OK\r\nContent-Length: \t2 \r\nA:b c\t\r\n\r\nhi", "GET", false},
		{"cookies", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\nSet-Cookie: b=2, c\r\nset-cookie: a=1\r\n\r\nhi", "GET", false},
		{"equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"Latin-1", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: caf\xe9\r\n\r\nhi", "GET", false},
		{"HEAD with a length", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "HEAD", false},
		{"HEAD in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", false},
		{"HEAD with nothing", "HTTP/1.1 200 OK\r\n\r\n", "HEAD", false},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", false},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"a\"\r\n\r\n", "GET", false},
		{"205 with a length", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "GET", false},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "GET", true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "GET", true},
		{"HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"HTTP/1.0 that stays", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"Connection: close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", "GET", false},
		{"no chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET", false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n00A\r\n, chunked!\r\n0\r\n\r\n", "GET", false},
		{"extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;name=\"value; x\"\r\nhi\r\n0;last\r\n\r\n", "GET", false},
		{"padded sizes", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nhi\r\n0 \r\n\r\n", "GET", false},
		{"announced trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A, b\r\nTrailer: C\r\n\r\n2\r\nhi\r\n0\r\nA: 1\r\nb: 2\r\n\r\n", "GET", false},
		{"unannounced trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: 1\r\nA: 2\r\n\r\n", "GET", false},
		{"Trailer without chunks", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: A\r\n\r\nhi", "GET", false},
		{"error with a body", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\nno", "POST", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := raw(t, func(c *wire, n int) {
				for c.request() != nil {
					c.send(test.response)
					if test.close {
						return
					}
				}
			})
			tr := to(t, address)
			req := get(t, "/")
			req.Method = test.method
			resp, body, err := fetch(tr, req)
			if err != nil {
				t.Fatal(err)
			}
			std := &http.Transport{DisableCompression: true}
			defer std.CloseIdleConnections()
			req = req.Clone(t.Context())
			req.URL.Host = strings.TrimPrefix(address, "http://")
			want, wantBody, err := fetch(std, req)
			if err != nil {
				t.Fatal(err)
			}
			same(t, resp, want)
			if body != wantBody {
				t.Errorf("body %q, want %q", body, wantBody)
			}
			idle := 1
			if want.Close {
				idle = 0
			}
			if s := tr.State()[0]; s.InFlight != 0 || s.Connections != idle {
				t.Errorf("%+v, want %d connections", s, idle)
			}
		})
	}
}

// same compares two responses whose bodies were read.
func same(t *testing.T, got, want *http.Response) {
	t.Helper()
	type view struct {
		Status           string
		Code             int
		Proto            string
		Major, Minor     int
		Header, Trailer  http.Header
		Length           int64
		TransferEncoding []string
		Close            bool
	}
	of := func(r *http.Response) view {
		v := view{r.Status, r.StatusCode, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Header, r.Trailer, r.ContentLength, r.TransferEncoding, r.Close}
		if len(v.Trailer) == 0 {
			v.Trailer = nil
		}
		if r.Close {
			v.Header = r.Header.Clone()
			delete(v.Header, "Connection") // net/http takes it off, and with it what else it names
		}
		return v
	}
	if g, w := of(got), of(want); !reflect.DeepEqual(g, w) {
		t.Errorf("got  %+v\nwant %+v", g, w)
	}
}

// TestTrailersThatLie: what frames a message can't come after it.
func TestTrailersThatLie(t *testing.T) {
	address := raw(t, func(c *wire, n int) {
		c.request()
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Digest, b@d\r\n\r\n0\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nHost: x\r\nDigest: d\r\n\r\n")
	})
	resp := ok(t, to(t, address), get(t, "/"), "")
	for name := range resp.Trailer {
		if name == "Content-Length" || name == "Host" || name == "b@d" {
			t.Errorf("trailer %s", name)
		}
	}
	if resp.Trailer.Get("Digest") != "d" {
		t.Errorf("%v", resp.Trailer)
	}
}

// TestSurplus: bytes that no request asked for never answer the next one.
func TestSurplus(t *testing.T) {
	const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
	for name, response := range map[string]string{
		"length": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + smuggled,
		"chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + smuggled,
		"204":    "HTTP/1.1 204 No Content\r\n\r\n" + smuggled,
		"304":    "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nEVIL",
	} {
		t.Run(name, func(t *testing.T) {
			address := raw(t, func(c *wire, n int) {
				for c.request() != nil {
					if n == 0 {
						c.send(response)
						continue
					}
					c.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
				}
			})
			tr := to(t, address)
			if _, body, err := fetch(tr, get(t, "/")); err != nil || body != "hi" && body != "" {
				t.Fatalf("%q, %v", body, err)
			}
			ok(t, tr, get(t, "/"), "good")
		})
	}
}

// TestInterim: every interim response is handed on, in order, with its fields.
func TestInterim(t *testing.T) {
	address := raw(t, func(c *wire, n int) {
		c.request()
		c.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nlink: </b.js>\r\n\r\n")
		c.send("HTTP/1.1 103 Early Hints\r\nLink: </c.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	})
	var got []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got = append(got, fmt.Sprint(code, h["Link"]))
		return nil
	}}
	req := get(t, "/")
	ok(t, to(t, address), req.WithContext(httptrace.WithClientTrace(req.Context(), trace)), "hi")
	if want := []string{"102 []", "103 [</a.css> </b.js>]", "103 [</c.css>]"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzHead: a head that is accepted means the same to net/http.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "HTTP/1.0 404 Not Found\nA: b\nA:c\r\n", "HTTP/1.1 200\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a, B\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 5\r\nConnection: close\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, head string) {
		if strings.Contains(head, "\n\n") || strings.Contains(head, "\n\r\n") || !strings.HasSuffix(head, "\n") {
			return // readHead gives no such head
		}
		var got http.Response
		if parseHead(head, 100, &got) != nil {
			return
		}
		var te [1]string
		if _, _, err := frame(&got, http.MethodGet, &te); err != nil {
			return
		}
		want, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head+"\r\n")), nil)
		if err != nil {
			// What can't be a trailer is left out of Trailer, and is an error there.
			if strings.Contains(strings.ToLower(head), "trailer") {
				return
			}
			t.Fatalf("accepted what net/http does not: %v", err)
		}
		for name := range want.Trailer {
			if _, ok := got.Trailer[name]; !ok {
				delete(want.Trailer, name)
			}
		}
		if got.StatusCode >= 200 {
			same(t, &got, want)
		}
	})
}

// TestIdleTimeout: a body that stands still ends in a time-out, and not as if
// it were whole.
func TestIdleTimeout(t *testing.T) {
	for _, head := range []string{"Content-Length: 100", "Transfer-Encoding: chunked", "Connection: close"} {
		address := raw(t, func(c *wire, n int) {
			c.request()
			c.send("HTTP/1.1 200 OK\r\n" + head + "\r\n\r\n5\r\nhello")
			c.closed()
		})
		o := servers(address)
		o.Idle = time.Millisecond
		tr := transport(t, Config{Origins: []rules.Origin{o}})
		_, body, err := fetch(tr, get(t, "/"))
		var e *Error
		if !errors.As(err, &e) || !e.Timeout() || e.Op != Read {
			t.Errorf("%s: %q, %v", head, body, err)
		}
	}
}
