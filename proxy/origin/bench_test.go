package origin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

// role, in the environment, makes the test binary a process of the benchmark.
const role = "ORIGIN_BENCH_ROLE"

// benchOrigin serves /N, N bytes of HTML, and tells its address. It does as
// little as it can for that.
func benchOrigin() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	page := bytes.Repeat([]byte("<p>All of the page's text</p>\r\n"), 1<<16)
	fmt.Println(l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
		os.Exit(0)
	}()
	accept(l, func(c *wire, _ int) {
		var answer []byte
		size := 0
		for {
			line, err := c.r.ReadSlice('\n')
			if err != nil {
				return
			}
			if target, ok := bytes.CutPrefix(line, []byte("GET /")); ok {
				target, _, _ = bytes.Cut(target, []byte(" "))
				if n, _ := strconv.Atoi(string(target)); n != size {
					size = n
					answer = append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Fri, 27 Nov 2026 10:00:00 GMT\r\n"+
						"Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\nCache-Control: private, no-cache\r\n"+
						"ETag: \"5e-1a2b3c\"\r\nVary: Accept-Encoding\r\n\r\n", n), page[:n]...)
				}
			}
			if len(line) <= 2 {
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		}
	})
}

// benchLoad makes as many requests as each line of its input says, over 32
// connections, and answers with a line.
func benchLoad(address string) {
	const clients = 32
	type client struct {
		net.Conn
		r *bufio.Reader
	}
	var all [clients]client
	for i := range all {
		c, err := net.Dial("tcp", address)
		if err != nil {
			panic(err)
		}
		all[i] = client{c, bufio.NewReaderSize(c, 64<<10)}
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var n int
		var path string
		if _, err := fmt.Sscan(in.Text(), &n, &path); err != nil {
			panic(err)
		}
		req := []byte("GET " + path + " HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
			"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
			"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n")
		var wg sync.WaitGroup
		for i := range all {
			share := n / clients
			if i < n%clients {
				share++
			}
			wg.Go(func() {
				for range share {
					if _, err := all[i].Write(req); err != nil {
						panic(err)
					}
					length := -1
					for {
						line, err := all[i].r.ReadSlice('\n')
						if err != nil {
							panic(err)
						}
						if len(line) <= 2 {
							break
						}
						if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
							length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
						}
					}
					if n, err := all[i].r.Discard(length); n != length || err != nil {
						panic(fmt.Sprint("short body: ", n, length, err))
					}
				}
			})
		}
		wg.Wait()
		fmt.Println("done")
	}
}

// process starts this binary in a role.
func process(tb testing.TB, as string, args ...string) (io.Writer, *bufio.Scanner) {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), role+"="+as)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
	return in, bufio.NewScanner(out)
}

func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// round is how many requests one proxy serves before the next has its turn: a
// machine with other work is as slow for all of them.
const round = 1000

// BenchmarkProxy is what a page costs a proxy of Go's server and ReverseProxy
// with http.Transport (std) and with ours, and ones with ours and a loop that
// does no more than it must (loop, splice). Client and origin are processes of their own: the
// figures are the CPU time of the proxy's process alone (of the rounds, the
// lower quartile) and its allocations.
func BenchmarkProxy(b *testing.B) {
	_, told := process(b, "origin")
	if !told.Scan() {
		b.Fatal("no origin")
	}
	to := &url.URL{Scheme: "http", Host: told.Text()}
	std := http.DefaultTransport.(*http.Transport).Clone()
	std.DisableCompression, std.MaxIdleConns, std.MaxIdleConnsPerHost = true, 0, 256
	defer std.CloseIdleConnections()
	ours, err := New(Config{
		Origins: []rules.Origin{{To: []string{to.String()}, Connect: 5 * time.Second, Response: time.Minute}},
		Log:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer ours.Close()
	reverse := func(t http.RoundTripper) http.Handler {
		return &httputil.ReverseProxy{
			Rewrite: func(pr *httputil.ProxyRequest) {
				pr.SetURL(to)
				pr.Out.Host = pr.In.Host
				pr.SetXForwarded()
			},
			Transport: t, BufferPool: new(copyBuffers),
		}
	}
	proxies := []struct {
		name string
		http.Handler
	}{
		{"std", reverse(std)}, {"ours", reverse(ours)}, {"loop", loop{ours, false}}, {"splice", loop{ours, true}},
	}
	var run []func(n, size int)
	for _, proxy := range proxies {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv := &http.Server{Handler: proxy.Handler}
		defer srv.Close()
		go func() { _ = srv.Serve(l) }()
		in, out := process(b, "load", l.Addr().String())
		run = append(run, func(n, size int) {
			fmt.Fprintf(in, "%d /%d\n", n, size)
			if !out.Scan() {
				b.Fatal("the load ended")
			}
		})
	}
	for _, size := range []int{10 << 10, 120 << 10} {
		b.Run(strconv.Itoa(size>>10)+"KB", func(b *testing.B) {
			var took [4][]float64 // µs a request, of each round
			var mallocs [4]uint64
			var m runtime.MemStats
			for i := range proxies {
				run[i](500, size)
			}
			b.ResetTimer()
			for left := b.N; left > 0; left -= round {
				for i := range proxies {
					runtime.ReadMemStats(&m)
					before, allocated := cpu(b), m.Mallocs
					run[i](min(left, round), size)
					took[i] = append(took[i], float64((cpu(b)-before).Nanoseconds())/1e3/float64(min(left, round)))
					runtime.ReadMemStats(&m)
					mallocs[i] += m.Mallocs - allocated
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, proxy := range proxies {
				slices.Sort(took[i])
				b.ReportMetric(took[i][len(took[i])/4], proxy.name+"-cpu-µs")
				b.ReportMetric(float64(mallocs[i])/float64(b.N), proxy.name+"-allocs")
				if i > 0 {
					b.ReportMetric(took[i][len(took[i])/4]/took[0][len(took[i])/4], proxy.name+"/std")
				}
			}
		})
	}
}

// copyBuffers is as in package proxy.
type copyBuffers struct{ pool sync.Pool }

func (b *copyBuffers) Get() []byte {
	if v, ok := b.pool.Get().(*[32 << 10]byte); ok {
		return v[:]
	}
	return new([32 << 10]byte)[:]
}

func (b *copyBuffers) Put(v []byte) { b.pool.Put((*[32 << 10]byte)(v)) }

// loop forwards a request with no more than that takes: what ReverseProxy
// costs beside the transport. With splice, a body with a length goes from the
// transport's buffer, and from there on from socket to socket.
type loop struct {
	http.RoundTripper
	splice bool
}

var hop = [...]string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (l loop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := *r // the headers are the server's, who is done with them
	h := r.Header
	for _, name := range hop {
		delete(h, name)
	}
	peer, _, _ := strings.Cut(r.RemoteAddr, ":")
	fields := []string{peer, r.Host, "http"}
	h["X-Forwarded-For"], h["X-Forwarded-Host"], h["X-Forwarded-Proto"] = fields[0:1:1], fields[1:2:2], fields[2:3:3]
	resp, err := l.RoundTrip(&out)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	to := w.Header()
	for name, v := range resp.Header {
		to[name] = v
	}
	for _, name := range hop {
		delete(to, name)
	}
	w.WriteHeader(resp.StatusCode)
	if b, ok := resp.Body.(body); ok && l.splice && b.body.kind == counted {
		if err := b.pass(w); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	buf := buffers.Get()
	defer buffers.Put(buf)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

var buffers copyBuffers

func (b body) pass(w http.ResponseWriter) error {
	x := b.exchange
	n, err := w.Write(x.buf[x.r:min(int64(x.w), int64(x.r)+x.body.left)])
	x.r += n
	if x.body.left -= int64(n); err != nil {
		return err
	}
	if x.body.left > 0 {
		c := x.conn.Load()
		x.untilIdle(c)
		n, err := w.(io.ReaderFrom).ReadFrom(&io.LimitedReader{R: c.Conn, N: x.body.left})
		if x.body.left -= n; err != nil || x.body.left > 0 {
			return err
		}
	}
	x.end(x.keep && x.r == x.w)
	x.err = io.EOF
	x.release()
	return nil
}
