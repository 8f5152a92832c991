package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// httpbin is go-httpbin behind refract: what comes must be what comes without
// it, to the byte, and so must the fields, but for those of the hop.
func (s *suite) httpbin(ctx context.Context) error {
	addrs, err := lab.Addrs(1)
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(addrs[0], ":")
	app, err := s.Start("httpbin", addrs[0], filepath.Join(s.tools, "go-httpbin"), "-host", host, "-port", port)
	if err != nil {
		return err
	}
	r, err := s.StartRefract(s.refract, lab.Setup{Name: "behind", Origin: app.Addr})
	if err != nil {
		return err
	}
	for _, c := range []struct{ method, path, field, body string }{
		{"GET", "/html", "", ""}, {"HEAD", "/html", "", ""}, {"GET", "/encoding/utf8", "", ""}, {"GET", "/json", "", ""}, {"GET", "/xml", "", ""},
		{"GET", "/robots.txt", "", ""}, {"GET", "/image/png", "", ""}, {"GET", "/image/svg", "", ""}, {"GET", "/links/3/0", "", ""}, {"GET", "/forms/post", "", ""},
		{"GET", "/bytes/100000?seed=1", "", ""}, {"GET", "/stream-bytes/100000?seed=1&chunk_size=777", "", ""}, {"GET", "/base64/UmVmcmFjdA==", "", ""},
		{"GET", "/range/10000", "", ""}, {"GET", "/range/10000", "Range: bytes=10-99", ""}, {"GET", "/range/10000", "Range: bytes=-100", ""}, {"GET", "/range/10000", "Range: bytes=20000-", ""},
		{"GET", "/etag/abc", "", ""}, {"GET", "/etag/abc", `If-None-Match: "abc"`, ""}, {"GET", "/etag/abc", `If-Match: "other"`, ""},
		{"GET", "/cache/60", "", ""}, {"GET", "/cookies/set?a=1", "", ""}, {"GET", "/cookies", "Cookie: a=1; b=2", ""}, {"GET", "/cookies/delete?a=1", "Cookie: a=1", ""},
		{"GET", "/redirect/3", "", ""}, {"GET", "/relative-redirect/2", "", ""}, {"GET", "/redirect-to?url=http%3A%2F%2Fexample.com%2F&status_code=307", "", ""},
		{"GET", "/response-headers?X-One=1&X-One=2&x-two=%C3%A4", "", ""}, {"GET", "/basic-auth/u/p", "", ""}, {"GET", "/basic-auth/u/p", "Authorization: Basic dTpw", ""},
		{"GET", "/delay/1", "", ""}, {"GET", "/drip?numbytes=20&duration=1s&delay=0s", "", ""}, {"GET", "/sse?count=3&duration=1s", "", ""},
		{"GET", "/trailers?X-First=1&X-Second=2", "TE: trailers", ""}, {"OPTIONS", "/get", "Origin: https://a.example", ""}, {"POST", "/status/201", "", "x"},
	} {
		s.same(ctx, app.Addr, r.Addr, c.method, c.path, c.field, c.body)
	}
	// Not 407: its Proxy-Authenticate is for the next hop, RFC 9110, section 11.7.1.
	for _, status := range []int{200, 201, 204, 205, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 414, 418, 422, 425, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 508, 511} {
		s.same(ctx, app.Addr, r.Addr, "GET", fmt.Sprintf("/status/%d", status), "", "")
	}
	// These tell their own request's fields, which are not the same.
	for _, c := range []struct{ path, coding string }{{"/gzip", "gzip"}, {"/deflate", "deflate"}} {
		want, _ := s.curl(ctx, "--compressed", "http://"+app.Addr+c.path)
		got, exit := s.curl(ctx, "--compressed", "-D", "coded", "http://"+r.Addr+c.path)
		fields, _ := s.curl(ctx, "-D", "-", "-o", "coded", "-H", "Accept-Encoding: gzip, deflate, br", "http://"+r.Addr+c.path)
		s.check("go-httpbin", c.path, fmt.Sprintf("exit 0, %s: %s", c.coding, constant(want)), fmt.Sprintf("exit %d, %s: %s", exit, header(fields, "Content-Encoding"), constant(got)))
	}
	for _, c := range [][]string{{"-d", "a=1&b=2", "/post"}, {"-T", "chunks", "-H", "Transfer-Encoding: chunked", "/put"}, {"-F", "f=@chunks", "-F", "a=1", "/post"}, {"-X", "DELETE", "/delete"}, {"-X", "PATCH", "-d", "x", "/patch"}} {
		if _, err := s.Write("chunks", strings.Repeat("chunk ", 20_000)); err != nil {
			return err
		}
		args, path := c[:len(c)-1], c[len(c)-1]
		want, _ := s.curl(ctx, append(slices.Clone(args), "http://"+app.Addr+path)...)
		got, _ := s.curl(ctx, append(slices.Clone(args), "http://"+r.Addr+path)...)
		s.note("go-httpbin", "curl "+strings.Join(c, " "), "as directly", fmt.Sprintf("%d bytes", len(constant(got))), constant(got) == constant(want) && want != "")
	}
	s.check("go-httpbin", "events one by one, as they are sent", "yes", events(ctx, "http://"+r.Addr+"/sse?count=3&duration=2s"))
	s.check("go-httpbin", "WebSocket: text and 100 KB back, and a close", "101, echoed, closed", webSocket(r.Addr))
	return nil
}

// same asks for a path directly and through refract.
func (s *suite) same(ctx context.Context, direct, through, method, path, field, body string) {
	want, err1 := fetch(ctx, direct, method, path, field, body)
	got, err2 := fetch(ctx, through, method, path, field, body)
	check := method + " " + path
	if field != "" {
		check += ", " + field
	}
	outcome := "as directly"
	switch {
	case err1 != nil:
		outcome = "directly: " + err1.Error()
	case err2 != nil:
		outcome = err2.Error()
	case got != want:
		a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
		outcome = fmt.Sprintf("more: %q; less: %q", without(a, b), without(b, a))
	}
	s.check("go-httpbin", check, "as directly", outcome)
}

// hop are the fields that a proxy has a say in, and those that differ between
// any two responses.
var hop = []string{"Connection", "Keep-Alive", "Transfer-Encoding", "Date", "Via", "Server-Timing"}

// fetch gives the whole response as text, its fields in order.
func fetch(ctx context.Context, addr, method, path, field, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Host = "httpbin.test"
	if name, value, ok := strings.Cut(field, ": "); ok {
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	text := string(b)
	if c := constant(text); c != text { // it tells the request's fields
		text = c
		resp.Header.Del("Content-Length")
	}
	for _, name := range hop {
		resp.Header.Del(name)
		resp.Trailer.Del(name)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n", resp.Status)
	resp.Header.Write(&out)
	out.WriteString("trailers\n")
	resp.Trailer.Write(&out)
	if strings.HasPrefix(path, "/sse") { // the events tell the time
		fmt.Fprintf(&out, "%d events\n", strings.Count(text, "event:"))
	} else {
		out.WriteString(text)
	}
	return strings.ReplaceAll(out.String(), "\r", ""), nil
}

// constant is go-httpbin's report of a request without what a hop changes, and
// without what multipart forms are divided by.
func constant(report string) string {
	var fields map[string]any
	if err := json.Unmarshal([]byte(report), &fields); err != nil {
		return report
	}
	for _, name := range []string{"headers", "origin", "url"} {
		delete(fields, name)
	}
	if form, ok := fields["form"].(map[string]any); ok && len(form) > 0 {
		delete(fields, "data")
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// events tells whether the first of several events comes a second or more
// before the last.
func events(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	if _, err := in.ReadString('\n'); err != nil {
		return err.Error()
	}
	first := time.Now()
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err.Error()
	}
	if time.Since(first) < time.Second {
		return "all at once"
	}
	return "yes"
}

// webSocket sends a short and a long text to /websocket/echo and closes.
func webSocket(addr string) string {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "GET /websocket/echo?max_message_size=200000&max_fragment_size=200000 HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		return resp.Status
	}
	for _, text := range []string{"hello", strings.Repeat("long ", 20_000)} {
		conn.Write(frame(1, text))
		got, opcode, err := readFrame(in)
		if err != nil {
			return "101, " + err.Error()
		}
		if opcode != 1 || got != text {
			return fmt.Sprintf("101, opcode %d and %d bytes", opcode, len(got))
		}
	}
	conn.Write(frame(8, "\x03\xe8"))
	if _, opcode, err := readFrame(in); err != nil || opcode != 8 {
		return fmt.Sprintf("101, echoed, opcode %d, %v", opcode, err)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return fmt.Sprintf("101, echoed, not closed: %v", err)
	}
	return "101, echoed, closed"
}

// frame is a masked frame: RFC 6455, section 5.2.
func frame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

func readFrame(in *bufio.Reader) (payload string, opcode byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", 0, err
	}
	n := uint64(head[1] & 0x7f)
	switch n {
	case 126:
		var size uint16
		err = binary.Read(in, binary.BigEndian, &size)
		n = uint64(size)
	case 127:
		err = binary.Read(in, binary.BigEndian, &n)
	}
	if err != nil || n > 1<<20 {
		return "", 0, fmt.Errorf("a frame of %d bytes: %w", n, err)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(in, b)
	return string(b), head[0] & 0x0f, err
}
