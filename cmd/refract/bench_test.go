package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed14307185/refract/proxy"
)

// BenchmarkPassthrough weighs refract serve against a process with nothing but
// httputil.ReverseProxy, in CPU time per request: system and user time of all
// threads, in alternating rounds, so that what else the machine does meets
// both alike. The goal is a ratio of at most 0.70 for drafts, where no rule is
// live; the others are for information. An operation is a round of each.
func BenchmarkPassthrough(b *testing.B) {
	for _, bench := range []struct {
		name    string
		live    bool
		treated bool
	}{
		{"drafts", false, false},
		{"live", true, false},
		{"treated", true, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			origin := startChild(b, "origin", "")
			bare := startChild(b, "bare", origin.addr)
			dir := newSite(b, "../../testdata/sites/loop", "http://"+origin.addr)
			if !bench.live {
				for _, name := range []string{"invite-teammate", "schedule-report"} {
					editFile(b, filepath.Join(dir, "site", "rules", name+".yaml"), func(s string) string {
						return strings.Replace(s, "state: live", "state: draft", 1)
					})
				}
			}
			r := startIn(b, dir) // by the machine's clock: that of start reads a file
			visitor := "visitor-7"
			if bench.treated {
				visitor = treatedVisitor(b, r)
			}
			if got := r.get("/reports", visitor); (got != string(benchPage)) != bench.treated {
				b.Fatalf("the page is not as it should be: %q", got)
			}

			loads := [...]*load{
				{b: b, pid: bare.pid, name: "bare"},
				{b: b, pid: r.cmd.Process.Pid, name: "refract"},
			}
			loads[0].connect(bare.addr, visitor)
			loads[1].connect(strings.TrimPrefix(r.edge, "http://"), visitor)
			for _, l := range loads { // warm up
				for range 4 {
					l.round()
				}
				l.used = 0
			}
			rounds := 0
			for b.Loop() {
				loads[rounds%2].round()
				loads[1-rounds%2].round()
				rounds++
			}
			for _, l := range loads {
				b.ReportMetric(float64(l.used.Nanoseconds())/1e3/float64(rounds*roundRequests), l.name+"-cpu-us/req")
			}
			b.ReportMetric(float64(loads[1].used)/float64(loads[0].used), "ratio")
		})
	}
}

const (
	loadConns     = 32
	roundRequests = loadConns * 32
)

// benchPage is 10 KB with a surface of the site in its middle.
var benchPage = []byte("<!DOCTYPE html>\n<html><head><title>Reports</title></head>\n<body>\n" + benchHalf +
	"<section data-surface=\"reports.banner\">Your reports</section>\n" + benchHalf + "</body></html>\n")

var benchHalf = strings.Repeat("<p class=\"line\">The quick brown fox &amp; the lazy dog</p>\n", 87)

// treatedVisitor finds a visitor who sees the response of schedule-report.
func treatedVisitor(b *testing.B, r *refract) string {
	b.Helper()
	for i := range 100 {
		visitor := fmt.Sprintf("visitor-%d", i)
		r.send("track", map[string]any{"event": "Report Exported", "userId": visitor})
		if r.get("/reports", visitor) != string(benchPage) {
			return visitor
		}
	}
	b.Fatal("nobody is treated")
	return ""
}

// load drives one proxy over connections that it keeps.
type load struct {
	b     *testing.B
	name  string
	pid   int
	conns []*loadConn
	used  time.Duration // CPU time of the proxy in all rounds
}

type loadConn struct {
	net.Conn
	in      *bufio.Reader
	request []byte
}

// connect opens the connections. Requests are as browsers send them.
func (l *load) connect(addr, visitor string) {
	for range loadConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			l.b.Fatal(err)
		}
		l.b.Cleanup(func() { conn.Close() })
		l.conns = append(l.conns, &loadConn{conn, bufio.NewReaderSize(conn, 32<<10), fmt.Appendf(nil, "GET /reports HTTP/1.1\r\nHost: app.example.com\r\n"+
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"+
			"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"+
			"Accept-Encoding: gzip, deflate, br, zstd\r\nCookie: session=0123456789abcdef0123456789abcdef; theme=dark; user=%s\r\n"+
			"Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n", visitor)})
	}
}

// round sends roundRequests requests and adds up what they cost.
func (l *load) round() {
	before := cpuTime(l.b, l.pid)
	var conns sync.WaitGroup
	for _, c := range l.conns {
		conns.Go(func() {
			for range roundRequests / loadConns {
				if err := c.get(); err != nil {
					l.b.Error(err)
					return
				}
			}
		})
	}
	conns.Wait()
	l.used += cpuTime(l.b, l.pid) - before
}

func (c *loadConn) get() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || n < int64(len(benchPage)) {
		return fmt.Errorf("%s, %d bytes: %w", resp.Status, n, err)
	}
	return nil
}

// cpuTime is what a process has run, in all of its threads.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		b.Skip("this system does not tell the CPU time of a thread")
	}
	var sum time.Duration
	for _, name := range files {
		stat, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		var ns int64
		if _, err := fmt.Sscan(string(stat), &ns); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// child is this test binary in another part.
type child struct {
	addr string
	pid  int
	kill func() // kill -9
}

// startChild starts a part of TestMain. It ends when its standard input does,
// so it never outlives the test.
func startChild(b testing.TB, part, origin string, env ...string) child {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "REFRACT_TEST_MAIN="+part, "REFRACT_TEST_ORIGIN="+origin), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		if cmd.ProcessState != nil {
			return // killed
		}
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	var addr string
	if _, err := fmt.Fscanln(stdout, &addr); err != nil {
		b.Fatalf("%s does not start: %v", part, err)
	}
	return child{addr, cmd.Process.Pid, func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // of a kill
	}}
}

// smallOrigin is an origin with a page that is one write.
func smallOrigin() int {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /reports", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, reportsPage)
	})
	mux.HandleFunc("POST /reports/{id}/export", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "csv") })
	return serveUntilEOF(mux)
}

// benchOrigin is an origin that costs next to nothing.
func benchOrigin() int {
	return serveUntilEOF(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(benchPage)
	}))
}

// benchBare is the least that a reverse proxy in Go can be: refract's server
// and transport without refract.
func benchBare() int {
	origin := &url.URL{Scheme: "http", Host: os.Getenv("REFRACT_TEST_ORIGIN")}
	return serveUntilEOF(&httputil.ReverseProxy{
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(origin)
			pr.Out.Host = pr.In.Host
			pr.SetXForwarded()
		},
		Transport:  proxy.NewTransport(),
		BufferPool: new(bareBuffers),
	})
}

type bareBuffers struct{ pool sync.Pool }

func (p *bareBuffers) Get() []byte {
	if v, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return v[:]
	}
	return make([]byte, 32<<10)
}

func (p *bareBuffers) Put(v []byte) { p.pool.Put((*[32 << 10]byte)(v)) }

func serveUntilEOF(h http.Handler) int {
	l, err := net.Listen("tcp", cmp.Or(os.Getenv("REFRACT_TEST_LISTEN"), "127.0.0.1:0"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: adminHeaderTimeout, IdleTimeout: adminIdleTimeout}
	go func() { _ = server.Serve(l) }() // until the process ends
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
