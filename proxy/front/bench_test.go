package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkGet is 1 KB over one keep-alive connection, the client's part
// included: with Server, and with Go's server alone.
func BenchmarkGet(b *testing.B) {
	page := []byte(strings.Repeat("x", 1024))
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"] = []string{"text/plain"}
		_, _ = w.Write(page)
	})
	request := []byte("GET /projects/7/settings HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; ajs_anonymous_id=01234567-89ab-cdef-0123-456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n" +
		"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n")
	for _, guarded := range []bool{false, true} {
		b.Run(fmt.Sprintf("guard=%v", guarded), func(b *testing.B) {
			c, err := net.Dial("tcp", serveBench(b, handler, guarded))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			exchange := func() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
				}
				if _, err := r.Discard(len(page)); err != nil {
					b.Fatal(err)
				}
			}
			exchange()
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				exchange()
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkScan is the guard's own work on the head of BenchmarkGet's size.
func BenchmarkScan(b *testing.B) {
	head := []byte("GET /projects/7/settings HTTP/1.1\r\nHost: app.example.com\r\n" + strings.Repeat("Accept-Language: en-GB,en;q=0.5,de;q=0.3,fr;q=0.2\r\n", 12) + "\r\n")
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		var s scanner
		if n, r := s.next(head, &limits); n != len(head) || r != nil {
			b.Fatal(n, r)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

// cpu is what this process has used of the processors, in nanoseconds: on a
// busy machine, that is what can be compared.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkIdle holds keep-alive connections that have had one answer: MB for
// 10 000 of them, the clients' ends included, which are in this process too.
func BenchmarkIdle(b *testing.B) {
	const n = 9_000 // twice as many files are open
	for _, guarded := range []bool{false, true} {
		b.Run(fmt.Sprintf("guard=%v", guarded), func(b *testing.B) {
			addr := serveBench(b, http.HandlerFunc(hello), guarded)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for b.Loop() {
				conns := make([]net.Conn, n)
				answer := make([]byte, 512)
				for i := range conns {
					var err error
					if conns[i], err = net.Dial("tcp", addr); err != nil {
						b.Fatal(err)
					}
					_, _ = io.WriteString(conns[i], get)
					if _, err := conns[i].Read(answer); err != nil {
						b.Fatal(err)
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/(1<<20)*10_000/n, "heap-MB/10k")
				b.ReportMetric(float64(after.StackInuse-before.StackInuse)/(1<<20)*10_000/n, "stack-MB/10k")
				for _, c := range conns {
					_ = c.Close()
				}
			}
		})
	}
}

// serveBench serves with Server, or with Go's server alone, until b ends.
func serveBench(b *testing.B, handler http.Handler, guarded bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if guarded {
		s := &Server{Log: quiet(), Handler: handler}
		s.Use(Settings{Limits: limits})
		go func() { _ = s.Serve(l, nil, nil) }()
		b.Cleanup(func() { _ = s.Close() })
	} else {
		s := &http.Server{Handler: handler, ReadHeaderTimeout: limits.ReadHeader, IdleTimeout: limits.Idle}
		go func() { _ = s.Serve(l) }()
		b.Cleanup(func() { _ = s.Close() })
	}
	return l.Addr().String()
}
