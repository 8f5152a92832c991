package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// reloads changes a rule's priority and reloads, n times, under the fixed load.
// The priority leaves everyone's arm as it is.
func (l *bench) reloads(ctx context.Context, r *lab.Refract, cookie string, n int) error {
	p := l.pages[1]
	seed := maphash.MakeSeed()
	good := hashes(seed, p.treated)
	file := filepath.Join(r.Site, "rules", "swap-top.yaml")
	rule, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	stop, under := make(chan struct{}), make(chan *result)
	go func() { under <- steady(r.Addr, "/"+p.name+".html", cookie, seed, good, stop) }()
	var took []float64
	begin := time.Now()
	for i := range n {
		if err = os.WriteFile(file, fmt.Appendf(nil, "%spriority: %d\n", rule, 1+i%2), 0o644); err != nil {
			break
		}
		at := time.Now()
		var reloaded struct{ Changed bool }
		if err = r.Call(http.MethodPost, "/api/reload", nil, &reloaded); err != nil {
			break
		}
		if took = append(took, float64(time.Since(at).Microseconds())/1e3); !reloaded.Changed {
			err = fmt.Errorf("reload %d changed nothing", i)
			break
		}
		if err = ctx.Err(); err != nil {
			break
		}
	}
	lasted := time.Since(begin)
	close(stop)
	with := <-under
	if err != nil {
		return err
	}
	stop = make(chan struct{})
	timer := time.AfterFunc(min(lasted, 10*time.Second), func() { close(stop) })
	defer timer.Stop()
	without := steady(r.Addr, "/"+p.name+".html", cookie, seed, good, stop)
	table(fmt.Sprintf("%d reloads in %.1f s, at %d requests/s, %s", n, lasted.Seconds(), fixedRate, p.size))
	fmt.Println("| | requests | failed | p50, ms | p99, ms |\n|---|--:|--:|--:|--:|")
	for _, row := range []struct {
		title string
		r     *result
	}{{"during reloads", with}, {"without", without}} {
		fmt.Printf("| %s | %d | %d | %.2f | %.2f |\n", row.title, len(row.r.ms), len(row.r.failed), quantile(row.r.ms, 0.5), quantile(row.r.ms, 0.99))
	}
	fmt.Printf("| a reload itself | %d | 0 | %.2f | %.2f |\n", len(took), quantile(took, 0.5), quantile(took, 0.99))
	if len(with.failed) > 0 {
		fmt.Printf("\nThe first failure: %v.\n", with.failed[0])
	}
	return nil
}

// rollbacks stops a rule and starts it again, n times by the API and n times by
// the command, and prints how long it took from there to the first page that a
// client, who asks all the time, gets untreated.
func (l *bench) rollbacks(ctx context.Context, r *lab.Refract, cookie string, n int) error {
	p := l.pages[0]
	seed := maphash.MakeSeed()
	untreated := strings.Replace(p.treated, element(regions[0].name, regions[0].now), element(regions[0].name, regions[0].was), 1)
	good := map[bool]map[uint64]bool{true: hashes(seed, p.treated), false: hashes(seed, untreated)}
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	// until asks for the page until its being treated is as wanted.
	until := func(want bool) error {
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			err := get(conn, in, "/"+p.name+".html", cookie, seed, good[want])
			if !errors.Is(err, errOther) {
				return err
			}
		}
		return fmt.Errorf("10 s after the change the page is as before it")
	}
	table(fmt.Sprintf("from a rollback to the first untreated page, %d each, %s", n, p.size))
	fmt.Println("| by | p50, ms | p99, ms | goal |\n|---|--:|--:|---|")
	for _, by := range []struct {
		title string
		do    func() error
	}{
		{"the API", func() error {
			return r.Call(http.MethodPost, "/api/rules/swap-top/rollback", map[string]string{"who": "bench", "why": "bench"}, nil)
		}},
		{"the command, its start included", func() error {
			_, err := lab.Output(ctx, l.Dir, l.refract, "rollback", "swap-top", "--site", r.Site, "--why", "bench")
			return err
		}},
	} {
		var took []float64
		for range n {
			if err := until(true); err != nil {
				return err
			}
			done := make(chan error, 1)
			at := time.Now()
			go func() { done <- by.do() }()
			if err := until(false); err != nil {
				return err
			}
			took = append(took, float64(time.Since(at).Microseconds())/1e3)
			if err := <-done; err != nil {
				return err
			}
			if err := r.Call(http.MethodPost, "/api/rules/swap-top/resume", map[string]string{"who": "bench", "why": "bench"}, nil); err != nil {
				return err
			}
		}
		fmt.Printf("| %s | %.1f | %.1f | at most 50 ms at p99 |\n", by.title, quantile(took, 0.5), quantile(took, 0.99))
	}
	return nil
}
