package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// message is a request or a response as it was on the wire.
type message struct {
	start  string // its first line
	header textproto.MIMEHeader
	body   []byte // without its framing
}

// readMessage takes a message apart. The header is not net/http's reading of
// it, which drops, adds and moves fields.
func readMessage(raw []byte, body func(*bufio.Reader) (io.Reader, error)) (message, error) {
	var m message
	head := textproto.NewReader(bufio.NewReader(bytes.NewReader(raw)))
	var err error
	if m.start, err = head.ReadLine(); err != nil {
		return m, err
	}
	if m.header, err = head.ReadMIMEHeader(); err != nil {
		return m, err
	}
	b, err := body(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return m, err
	}
	m.body, err = io.ReadAll(b)
	return m, err
}

func requestBody(r *bufio.Reader) (io.Reader, error) {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil, err
	}
	return req.Body, nil
}

// responseBody reads the body of a response to a request of a method.
func responseBody(method string) func(*bufio.Reader) (io.Reader, error) {
	return func(r *bufio.Reader) (io.Reader, error) {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		return resp.Body, nil
	}
}

// status is the code of a response.
func (m message) status() string {
	_, rest, _ := strings.Cut(m.start, " ")
	return rest[:min(3, len(rest))]
}

// drop returns the header without some fields.
func drop(h textproto.MIMEHeader, names ...string) textproto.MIMEHeader {
	h = maps.Clone(h)
	for _, name := range names {
		delete(h, textproto.CanonicalMIMEHeaderKey(name))
	}
	return h
}

// endToEnd returns the header without what is between two neighbours only.
func endToEnd(h textproto.MIMEHeader) textproto.MIMEHeader {
	names := []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Via", "Cdn-Loop"}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return drop(h, names...)
}

// headerDiff lists the fields that differ, as "name: was, is".
func headerDiff(was, is textproto.MIMEHeader) []string {
	var diff []string
	names := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Equal(was[name], is[name]) {
			diff = append(diff, fmt.Sprintf("%s: was %q, is %q", name, was[name], is[name]))
		}
	}
	return diff
}

// bodyDiff says where two bodies part, or nothing.
func bodyDiff(was, is []byte) string {
	if bytes.Equal(was, is) {
		return ""
	}
	at := 0
	for at < min(len(was), len(is)) && was[at] == is[at] {
		at++
	}
	near := func(b []byte) []byte { return b[max(0, at-40):min(len(b), at+40)] }
	return fmt.Sprintf("the bodies, of %d and %d bytes, part at byte %d: was …%q…, is …%q…", len(was), len(is), at, near(was), near(is))
}

// exchangeID marks the requests of one test, so that what the origin got of
// each can be found again. It is an end-to-end header like any other.
const exchangeID = "X-Exchange"

// recorder is a relay on the way to an origin. It keeps every byte that passes,
// before passing it on: what has arrived at either end is on record.
type recorder struct {
	addr string // where it listens

	mu      sync.Mutex
	streams []*stream // one a connection; guarded by mu, with what is in them
}

type stream struct{ sent, answered []byte }

func newRecorder(t *testing.T, origin string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{addr: l.Addr().String()}
	var relaying sync.WaitGroup
	relaying.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed by the cleanup
			}
			relaying.Go(func() { rec.relay(client, origin) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		relaying.Wait() // both ends have gone by now
	})
	return rec
}

func (rec *recorder) relay(client net.Conn, addr string) {
	defer client.Close()
	origin, err := net.Dial("tcp", addr)
	if err != nil {
		return // the client sees it
	}
	defer origin.Close()
	s := new(stream)
	rec.mu.Lock()
	rec.streams = append(rec.streams, s)
	rec.mu.Unlock()
	var upwards sync.WaitGroup
	upwards.Go(func() {
		_, _ = io.Copy(origin, io.TeeReader(client, recording{rec, &s.sent})) // either end may go first
		origin.Close()
	})
	_, _ = io.Copy(client, io.TeeReader(origin, recording{rec, &s.answered}))
	client.Close()
	upwards.Wait()
}

// recording appends to a record.
type recording struct {
	rec *recorder
	to  *[]byte
}

func (w recording) Write(b []byte) (int, error) {
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	*w.to = append(*w.to, b...)
	return len(b), nil
}

// find returns what the origin got and answered in an exchange. The origin
// must close the connection after each.
func (rec *recorder) find(id string) (sent, answered []byte, err error) {
	mark := []byte("\r\n" + exchangeID + ": " + id + "\r\n")
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, s := range rec.streams {
		if !bytes.Contains(s.sent, mark) {
			continue
		}
		if sent != nil || bytes.Count(s.sent, []byte("\r\n"+exchangeID+": ")) > 1 {
			return nil, nil, fmt.Errorf("exchange %s is not alone on one connection to the origin", id)
		}
		sent, answered = bytes.Clone(s.sent), bytes.Clone(s.answered)
	}
	if sent == nil {
		return nil, nil, fmt.Errorf("exchange %s never reached the origin", id)
	}
	return sent, answered, nil
}

// exchange is a request and its response, on both sides of the proxy.
type exchange struct {
	asked, forwarded message // the request: the client's, and the origin's
	made, got        message // the response: the origin's, and the client's
}

// through sends a request to the edge, byte for byte as given but for a header
// that marks it, and returns what all four wires carried.
func (rec *recorder) through(t *testing.T, edge, id, method, target string, lines []string, body string) exchange {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	lines = slices.Concat([]string{method + " " + target + " HTTP/1.1", exchangeID + ": " + id}, lines)
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	asked := strings.Join(lines, "\r\n") + "\r\n\r\n" + body
	if _, err := io.WriteString(conn, asked); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	b, err := responseBody(method)(bufio.NewReader(io.TeeReader(conn, &got)))
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	if _, err := io.Copy(io.Discard, b); err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	forwarded, made, err := rec.find(id)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	var x exchange
	for _, side := range []struct {
		to   *message
		raw  []byte
		body func(*bufio.Reader) (io.Reader, error)
	}{
		{&x.asked, []byte(asked), requestBody},
		{&x.forwarded, forwarded, requestBody},
		{&x.made, made, responseBody(method)},
		{&x.got, got.Bytes(), responseBody(method)},
	} {
		if *side.to, err = readMessage(side.raw, side.body); err != nil {
			t.Fatalf("%s %s: %v in\n%q", method, target, err, side.raw)
		}
	}
	return x
}
