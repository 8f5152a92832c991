package front

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// hostile are requests whose heads must be refused, and how.
var hostile = []struct {
	name, request string
	status        int
}{
	{"length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"coding and length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
	{"the same length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400},
	{"length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400},
	{"negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400},
	{"hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400},
	{"empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", 400},
	{"length beyond 63 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", 400},
	{"length that wraps", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", 400},
	{"unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
	{"list of codings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{"chunked twice in a list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
	{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
	{"coding like chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
	{"coding with a VT", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 501},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501},
	{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
	{"LF behind a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
	{"LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
	{"LF only", "GET / HTTP/1.1\nHost: a\n\n", 400},
	{"folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
	{"folded first field", "GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n", 400},
	{"folded length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\t5\r\n\r\nhello", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400},
	{"tab before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
	{"name that is no token", "GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n", 400},
	{"name that isn't ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n", 400},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\n", 400},
	{"bare CR before CRLF", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", 400},
	{"VT in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\vc\r\n\r\n", 400},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
	{"http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	{"no version", "GET /\r\nHost: a\r\n\r\n", 400},
	{"space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"tab for a space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"two hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"bad host", "GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", 400},
	{"two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400},
	{"PROXY header of anyone", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"too many fields", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: b\r\n", 100) + "\r\n", 431},
	{"too large a header", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", 64<<10) + "\r\n\r\n", 431},
	{"too long a request line", "GET /" + strings.Repeat("b", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405},
	{"CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
	{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
}

func TestHostile(t *testing.T) {
	var ran atomic.Int64
	s := &Server{Log: quiet(), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran.Add(1) })}
	e := start(t, s, Settings{Limits: limits})
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			status, closed := send(t, e.plain, c.request)
			if status != c.status {
				t.Errorf("answered with %d, not %d", status, c.status)
			}
			if !closed {
				t.Error("the connection goes on")
			}
			if n := ran.Swap(0); n > 0 {
				t.Errorf("%d requests came through", n)
			}
		})
	}
	// Behind a sound request: that one is answered first.
	const sound = "GET /sound HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range hostile {
		if c.status == 405 || strings.HasSuffix(c.name, "first") {
			continue
		}
		t.Run("pipelined "+c.name, func(t *testing.T) {
			conn := dial(t, e.plain)
			go func() { _, _ = io.WriteString(conn, sound+c.request) }()
			r := bufio.NewReader(conn)
			for _, want := range []int{200, c.status} {
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
					t.Fatalf("answered with %d, not %d: %v", resp.StatusCode, want, err)
				}
			}
			if n := ran.Swap(0); n != 1 {
				t.Errorf("%d requests came through, not the first alone", n)
			}
		})
	}
}

// TestHostileBody has heads that are sound: the handler runs, and learns that
// it is the client who broke the body.
func TestHostileBody(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	second := "\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"
	var ran atomic.Int64
	s := &Server{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran.Add(1)
		_, err := io.ReadAll(r.Body)
		var refusal *Refusal
		switch {
		case errors.As(err, &refusal):
			w.WriteHeader(refusal.Status)
		case err != nil && r.ContentLength < 0: // net/http puts an error of its own in the place of a trailer's
			w.WriteHeader(http.StatusBadRequest)
		default:
			t.Errorf("reading the body: %v", err)
		}
	})}
	e := start(t, s, Settings{Limits: limits})
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"LF behind the size", "5\nhello\r\n0\r\n\r\n", 400},
		{"LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n", 400},
		{"CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", 400},
		{"NUL in an extension", "5;\x00\r\nhello\r\n0\r\n\r\n", 400},
		{"LF behind a chunk", "5\r\nhello\n0\r\n\r\n", 400},
		{"longer than its size", "4\r\nhello\r\n0\r\n\r\n", 400},
		{"shorter than its size", "6\r\nhello\r\n0\r\n\r\n", 400},
		{"no size", "\r\nhello\r\n0\r\n\r\n", 400},
		{"no size but an extension", ";a\r\nhello\r\n0\r\n\r\n", 400},
		{"negative", "-5\r\nhello\r\n0\r\n\r\n", 400},
		{"with a sign", "+5\r\nhello\r\n0\r\n\r\n", 400},
		{"0x", "0x5\r\nhello\r\n0\r\n\r\n", 400},
		{"no number", "xyz\r\nhello\r\n0\r\n\r\n", 400},
		{"space before", " 5\r\nhello\r\n0\r\n\r\n", 400},
		{"space behind", "5 \r\nhello\r\n0\r\n\r\n", 400},
		{"beyond 63 bits", "8000000000000000\r\nhello\r\n0\r\n\r\n", 400},
		{"that wraps", "10000000000000005\r\nhello\r\n0\r\n\r\n", 400},
		{"many zeros", strings.Repeat("0", 17) + "5\r\nhello\r\n0\r\n\r\n", 400},
		{"long extension", "5;" + strings.Repeat("a", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n", 400},
		{"in the second chunk", "5\r\nhello\r\nz\r\n\r\n0\r\n\r\n", 400},
		{"LF in the trailer", "0\r\nX: y\n\r\n", 400},
		{"LF for the last line", "0\r\n\n", 400},
		{"folded trailer", "0\r\nX: y\r\n z\r\n\r\n", 400},
		{"trailer without a colon", "0\r\nX\r\n\r\n", 400},
		{"length in the trailer", "0\r\ncontent-length: 9\r\n\r\n", 400},
		{"coding in the trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
		{"host in the trailer", "0\r\nHost: b\r\n\r\n", 400},
		{"many fields in the trailer", "0\r\n" + strings.Repeat("X: y\r\n", 101) + "\r\n", 400},
		{"large trailer", "0\r\nX: " + strings.Repeat("y", 3000) + "\r\n\x00", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, closed := send(t, e.plain, head+c.body+second)
			if status != c.status || !closed {
				t.Errorf("answered with %d, not %d; closed: %v", status, c.status, closed)
			}
			if n := ran.Swap(0); n != 1 {
				t.Errorf("%d requests came through, not the first alone", n)
			}
		})
	}
}

// send writes a request and returns the status of the first answer, and
// whether the server closed the connection behind that.
func send(t *testing.T, addr, request string) (status int, closed bool) {
	t.Helper()
	conn := dial(t, addr)
	go func() { _, _ = io.WriteString(conn, request) }() // it may be refused before it is all there
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%v behind %q", err, all)
	}
	// net/http's own refusals have no length, so the end tells nothing more.
	line, rest, _ := strings.Cut(string(all), "\r\n")
	status, err = strconv.Atoi(strings.SplitN(line+"  ", " ", 3)[1])
	if err != nil {
		t.Fatalf("answered with %q", all)
	}
	return status, !strings.Contains(rest, "HTTP/1.1 ")
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
