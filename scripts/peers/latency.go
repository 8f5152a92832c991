package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	fixedRate   = 500 // requests per second
	fixedClient = 32  // connections

	hopeless = 3 * time.Second
)

// result is what an open-loop client met.
type result struct {
	ms     []float64 // from when each request was due to the end of its response
	failed []error
}

// steady sends fixedRate requests a second to addr until stop is closed, as
// they are due, whether or not earlier ones are answered. good tells which
// bodies are right, by their hash.
func steady(addr, path, cookie string, seed maphash.Seed, good map[uint64]bool, stop <-chan struct{}) *result {
	due := make(chan time.Time, 1<<16)
	go func() {
		defer close(due)
		runtime.LockOSThread()
		for at := time.Now(); ; at = at.Add(time.Second / fixedRate) {
			time.Sleep(time.Until(at))
			select {
			case <-stop:
				return
			case due <- at:
			}
		}
	}()
	r := &result{}
	var mu sync.Mutex // protects r
	var clients sync.WaitGroup
	for range fixedClient {
		clients.Go(func() {
			var conn net.Conn
			var in *bufio.Reader
			defer func() {
				if conn != nil {
					conn.Close()
				}
			}()
			for at := range due {
				err := func() error {
					if time.Since(at) > hopeless {
						return errHopeless
					}
					if conn == nil {
						var err error
						if conn, err = net.Dial("tcp", addr); err != nil {
							conn = nil
							return err
						}
						in = bufio.NewReaderSize(conn, 64<<10)
					}
					return get(conn, in, path, cookie, seed, good)
				}()
				took := float64(time.Since(at).Microseconds()) / 1e3
				mu.Lock()
				r.ms = append(r.ms, took)
				if err != nil {
					r.failed = append(r.failed, err)
					if conn != nil && err != errHopeless {
						conn.Close()
						conn = nil
					}
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return r
}

// get asks for a page over a connection that is kept.
func get(conn net.Conn, in *bufio.Reader, path, cookie string, seed maphash.Seed, good map[uint64]bool) error {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nAccept: text/html\r\nAccept-Encoding: identity\r\n\r\n", path, cookie); err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var h maphash.Hash
	h.SetSeed(seed)
	n, err := io.Copy(&h, resp.Body)
	if err != nil {
		return err
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return errors.New(resp.Status)
	case resp.Close:
		return errors.New("the connection was closed")
	case !good[h.Sum64()]:
		return fmt.Errorf("%d bytes: %w", n, errOther)
	}
	return nil
}

// errOther is that a whole response is not the page that was wanted.
var errOther = errors.New("another page")

// errHopeless is that a request was due so long ago that it was not sent.
var errHopeless = errors.New("too slow for the rate")

// hashes are those of the bodies that are right.
func hashes(seed maphash.Seed, bodies ...string) map[uint64]bool {
	good := map[uint64]bool{}
	for _, b := range bodies {
		good[maphash.String(seed, b)] = true
	}
	return good
}

// latency compares, at the fixed rate and on the middle page, some contestants
// with the origin itself.
func (l *bench) latency(ctx context.Context, all []*contestant, rounds int, d time.Duration) error {
	p := l.pages[1]
	seed := maphash.MakeSeed()
	good := hashes(seed, p.original, p.treated)
	direct := &contestant{Process: l.origin, title: "the origin itself"}
	list := []*contestant{direct}
	for _, c := range all {
		switch c.title {
		case titlePass, titleSwap, titleSub, titleReverse, titleReplace, titleWorkerd:
			list = append(list, c)
		}
	}
	late := map[*contestant]int{}
	half, most := map[*contestant][]float64{}, map[*contestant][]float64{}
	for range rounds {
		for _, c := range list {
			stop := make(chan struct{})
			timer := time.AfterFunc(d, func() { close(stop) })
			r := steady(c.Addr, "/"+p.name+".html", c.cookie, seed, good, stop)
			timer.Stop()
			if i := slices.IndexFunc(r.failed, func(err error) bool { return !errors.Is(err, errHopeless) }); i >= 0 {
				return fmt.Errorf("%s at %d requests/s: %w", c.title, fixedRate, r.failed[i])
			}
			late[c] += len(r.failed)
			half[c] = append(half[c], quantile(r.ms, 0.5))
			most[c] = append(most[c], quantile(r.ms, 0.99))
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	table(fmt.Sprintf("latency at %d requests/s, %s", fixedRate, p.size))
	fmt.Println("| proxy | p50, ms | p99, ms | added p50 | added p99 | given up after 3 s |\n|---|--:|--:|--:|--:|--:|")
	base50, base99 := median(half[direct]), median(most[direct])
	for _, c := range list {
		p50, p99 := median(half[c]), median(most[c])
		fmt.Printf("| %s | %.2f | %.2f | %+.2f | %+.2f | %d |\n", c.title, p50, p99, p50-base50, p99-base99, late[c])
	}
	return nil
}
