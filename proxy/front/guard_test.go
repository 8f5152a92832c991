package front

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

var limits = rules.Limits{
	HeaderBytes: 64 << 10, Headers: 100,
	ReadHeader: 10 * time.Second, Idle: 2 * time.Minute, Progress: time.Minute, Tunnel: time.Hour,
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// fed is a connection on which the client's bytes arrive in given pieces.
type fed struct {
	pieces [][]byte
	sent   bytes.Buffer
	once   sync.Once
	closed chan struct{}
}

func feed(pieces [][]byte) *fed { return &fed{pieces: pieces, closed: make(chan struct{})} }

func (f *fed) Read(p []byte) (int, error) {
	if len(f.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.pieces[0])
	if f.pieces[0] = f.pieces[0][n:]; len(f.pieces[0]) == 0 {
		f.pieces = f.pieces[1:]
	}
	return n, nil
}

func (f *fed) Write(p []byte) (int, error)      { return f.sent.Write(p) }
func (f *fed) Close() error                     { f.once.Do(func() { close(f.closed) }); return nil }
func (f *fed) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (f *fed) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7} }
func (f *fed) SetDeadline(time.Time) error      { return nil }
func (f *fed) SetReadDeadline(time.Time) error  { return nil }
func (f *fed) SetWriteDeadline(time.Time) error { return nil }

// cut cuts b into pieces of which most are small.
func cut(r *rand.Rand, b []byte) (pieces [][]byte) {
	biggest := 1 + r.IntN(1+r.IntN(5000))
	for len(b) > 0 {
		n := min(1+r.IntN(biggest), len(b))
		pieces, b = append(pieces, bytes.Clone(b[:n])), b[n:]
	}
	return pieces
}

// TestStrict compares the guard with a parser that has the whole stream before
// it, on streams that are sound but for a few bytes.
func TestStrict(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := stream(r)
		for range r.IntN(4) {
			b = mutate(r, b)
		}
		strict(t, b, seed)
	}
}

func FuzzGuard(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(stream(rand.New(rand.NewPCG(seed, 1))), seed)
	}
	for _, c := range hostile {
		f.Add([]byte(c.request), uint64(1))
	}
	f.Fuzz(strict)
}

// strict runs b through a guard and through the oracle. Whole requests that
// pass must be those that the oracle takes, byte for byte.
func strict(t *testing.T, b []byte, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	s := &Server{}
	c := &conn{Conn: feed(cut(r, b)), server: s, limits: &limits}
	c.raw = c.Conn
	g := newGuard(c, c)
	var got [][]byte // whole requests
	var now []byte   // the one that is passing
	buf := make([]byte, 5000)
	for range 10*len(b) + 10 {
		n, err := g.Read(buf[:1+r.IntN(len(buf))])
		now = append(now, buf[:n]...)
		if n > 0 && g.scan.between() && g.cleared == 0 {
			got, now = append(got, now), nil
			g.state(http.StateIdle)
		}
		if err != nil {
			break
		}
	}
	want, body := oracle(b)
	if len(got) != len(want) {
		t.Fatalf("%q:\n%d requests passed, %d are sound\n%q", b, len(got), len(want), got)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%q:\nrequest %d is %q\nwant %q", b, i, got[i], want[i])
		}
	}
	if len(now) > 0 && !bytes.HasPrefix(now, body) || len(now) > 0 && body == nil {
		t.Fatalf("%q:\n%q passed of a request that isn't sound", b, now)
	}
}

// The grammar of RFC 9112, of as much as the guard answers for: what is allowed
// in a field's value beyond CR, LF and NUL is net/http's business.
const nameRE = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"

var (
	headRE  = regexp.MustCompile(`^(?:\r\n)?((` + nameRE + `) ([^\x00-\x20\x7f]+) HTTP/1\.([01])\r\n((?:` + nameRE + `:[^\r\n\x00]*\r\n)*)\r\n)`)
	fieldRE = regexp.MustCompile(`(` + nameRE + `):[ \t]*([^\r\n]*?)[ \t]*\r\n`)
	chunkRE = regexp.MustCompile(`^([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n`)
	trailRE = regexp.MustCompile(`^((?:` + nameRE + `:[^\r\n\x00]*\r\n)*)\r\n`)
	formRE  = regexp.MustCompile(`(?i)^(/|https?://)`)
)

// oracle returns the sound requests that b begins with, and of the one behind
// them the head, if that is sound.
func oracle(b []byte) (whole [][]byte, head []byte) {
	for {
		m := headRE.FindSubmatch(b)
		if m == nil || len(m[1]) > limits.HeaderBytes {
			return whole, nil
		}
		b = b[len(m[0]):]
		get := map[string][]string{}
		fields := fieldRE.FindAllSubmatch(m[5], -1)
		for _, f := range fields {
			k := strings.ToLower(string(f[1]))
			get[k] = append(get[k], string(f[2]))
		}
		te, cl := get["transfer-encoding"], get["content-length"]
		switch method, target := string(m[2]), string(m[3]); {
		case len(fields) > limits.Headers, len(get["host"]) > 1, len(get["host"]) == 0 && m[4][0] == '1',
			len(te) > 0 && (len(cl) > 0 || m[4][0] == '0' || len(te) > 1 || !strings.EqualFold(te[0], "chunked")), len(cl) > 1,
			method != "CONNECT" && !(method == "OPTIONS" && target == "*") && !formRE.MatchString(target):
			return whole, nil
		}
		n, ok := 0, true
		switch {
		case len(te) > 0:
			n, ok = chunked(b)
		case len(cl) > 0:
			if cl[0] == "" || strings.Trim(cl[0], "0123456789") != "" {
				return whole, nil
			}
			v, err := strconv.ParseInt(cl[0], 10, 64)
			if err != nil {
				return whole, nil
			}
			if n = int(v); v > int64(len(b)) {
				ok = false
			}
		}
		if !ok {
			return whole, m[1]
		}
		whole = append(whole, append(bytes.Clone(m[1]), b[:n]...))
		b = b[n:]
	}
}

// chunked returns how long the chunked body is that b begins with.
func chunked(b []byte) (n int, ok bool) {
	for {
		m := chunkRE.FindSubmatch(b[n:])
		if m == nil || len(m[0])-2 >= maxChunkLine {
			return 0, false
		}
		n += len(m[0])
		v, err := strconv.ParseUint(string(m[1]), 16, 64)
		if err != nil || v > math.MaxInt64 {
			return 0, false
		}
		if v == 0 {
			break
		}
		if v > uint64(len(b)-n) || !bytes.HasPrefix(b[n+int(v):], []byte("\r\n")) {
			return 0, false
		}
		n += int(v) + 2
	}
	m := trailRE.FindSubmatch(b[n:])
	if m == nil {
		return 0, false
	}
	fields := fieldRE.FindAllSubmatch(m[1], -1)
	for _, f := range fields {
		switch strings.ToLower(string(f[1])) {
		case "host", "content-length", "transfer-encoding":
			return 0, false
		}
	}
	return n + len(m[0]), len(fields) <= limits.Headers
}

// stream is a few sound requests, one after the other.
func stream(r *rand.Rand) []byte {
	var b bytes.Buffer
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	for range 1 + r.IntN(4) {
		method := pick("GET", "POST", "PUT", "HEAD", "DELETE", "x-method")
		version := pick("1.1", "1.1", "1.1", "1.0")
		b.WriteString(method + " " + pick("/", "/a//b/..;/%2e?x=1;y=%zz", "http://other.example/a?b", "/\xc3\xa9") + " HTTP/" + version + "\r\n")
		head := []string{pick("Host: ", "host:", "HOST: \t") + "example.com" + pick("", " ", ":80")}
		for range r.IntN(6) {
			head = append(head, pick("Accept: */*", "X-A: b:c", "Cookie: a=b; c=\xe9", "X-Empty:", "x_y: 1", "Content-Type: text/plain",
				"X-Long: "+strings.Repeat("v", r.IntN(6000)), "X-Content-Length: 5", "Connection: keep-alive"))
		}
		body := strings.Repeat("0\r\n\r\nGET / HTTP/1.1", r.IntN(9))
		if r.IntN(8) == 0 {
			body = strings.Repeat("x", r.IntN(20000))
		}
		var tail string
		switch {
		case r.IntN(3) == 0:
			tail = ""
			if r.IntN(2) == 0 {
				head = append(head, "Content-Length: 0")
			}
		case version == "1.1" && r.IntN(2) == 0:
			head = append(head, pick("Transfer-Encoding: chunked", "transfer-encoding:Chunked "))
			if r.IntN(3) == 0 {
				head = append(head, "Trailer: X-T")
			}
			for len(body) > 0 {
				n := 1 + r.IntN(len(body))
				tail += pick("", "00") + pick(fmt.Sprintf("%x", n), fmt.Sprintf("%X", n)) + pick("", "", ";a=b", " ;a", ";a=\"b c\"") + "\r\n" + body[:n] + "\r\n"
				body = body[n:]
			}
			tail += pick("0", "000", "0;x") + "\r\n" + pick("", "X-T: 1\r\n") + "\r\n"
		default:
			head = append(head, "Content-Length:"+pick("", " ")+pick("", "0")+strconv.Itoa(len(body)))
			tail = body
		}
		r.Shuffle(len(head), func(i, j int) { head[i], head[j] = head[j], head[i] })
		b.WriteString(strings.Join(head, "\r\n") + "\r\n\r\n" + tail)
	}
	return b.Bytes()
}

// mutate changes a few bytes, most where it matters.
func mutate(r *rand.Rand, b []byte) []byte {
	odd := []string{"\r", "\n", "\r\n", "\x00", " ", "\t", ";", ":", "0", "f", "\x7f", "\xff", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n",
		"Transfer-Encoding: gzip, chunked\r\n", "Host: b\r\n", "Content-Length : 1\r\n", " folded\r\n", "HTTP/1.2", "ffffffffffffffff", "\n\n", "\r\n\r\n", strings.Repeat("z", 1100)}
	at := r.IntN(len(b) + 1)
	if lines := bytes.Count(b, []byte("\n")); lines > 0 && r.IntN(3) > 0 {
		at = 0
		for range r.IntN(lines + 1) {
			at += bytes.IndexByte(b[at:], '\n') + 1
		}
		at = min(max(at-r.IntN(3), 0), len(b))
	}
	gone := min(r.IntN(3), len(b)-at)
	return slices.Concat(b[:at], []byte(odd[r.IntN(len(odd))]), b[at+gone:])
}

// seen is what a handler saw of a request.
type seen struct {
	method, target, host, proto, body string
	header, trailer                   http.Header
	length                            int64
	err                               string
}

// TestTransparent compares what net/http sees behind the guard with what it
// sees without, on sound streams in pieces of any size.
func TestTransparent(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := stream(r)
		plain, answers := throughHTTP(t, b, rand.New(rand.NewPCG(seed, 4)), false)
		guarded, same := throughHTTP(t, b, rand.New(rand.NewPCG(seed, 5)), true)
		if !reflect.DeepEqual(plain, guarded) {
			t.Fatalf("seed %d: %q:\nwithout the guard %+v\nwith              %+v", seed, b, plain, guarded)
		}
		if answers != same {
			t.Fatalf("seed %d: %q:\nthe answers differ:\n%s\n%s", seed, b, answers, same)
		}
	}
}

var dateRE = regexp.MustCompile(`(?m)^Date: .*$`)

func throughHTTP(t *testing.T, b []byte, r *rand.Rand, guarded bool) (all []seen, answers string) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		x := seen{r.Method, r.RequestURI, r.Host, r.Proto, string(body), r.Header, r.Trailer, r.ContentLength, ""}
		if err != nil {
			x.err = err.Error()
		}
		all = append(all, x)
		_, _ = io.WriteString(w, r.Method)
	})
	f := feed(cut(r, b))
	if guarded {
		s := &Server{Handler: handler, Log: quiet()}
		s.Use(Settings{Limits: limits})
		s.take(f, nil)
		<-f.closed
		_ = s.Close()
	} else {
		h := newHandoff()
		s := &http.Server{Handler: handler, MaxHeaderBytes: limits.HeaderBytes}
		go func() { _ = s.Serve(h) }()
		h.put(f)
		<-f.closed
		_ = s.Close()
	}
	return all, dateRE.ReplaceAllString(f.sent.String(), "Date: X")
}
