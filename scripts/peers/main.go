// Peers measures refract as a proxy beside others, in one run, on loopback:
// the proxy half of scripts/bench-peers, which says where the programs are.
// It prints Markdown.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

func main() {
	var p programs
	flag.StringVar(&p.refract, "refract", "", "the binary")
	flag.StringVar(&p.reverseproxy, "reverseproxy", "", "the binary")
	flag.StringVar(&p.caddy, "caddy", "", "the binary, with replace-response; empty: left out")
	flag.StringVar(&p.workerd, "workerd", "", "the binary; empty: left out")
	flag.StringVar(&p.sources, "sources", "", "the directory with proxy.capnp")
	pages := flag.String("pages", "", "the directory of scripts/bench-pages")
	rounds := flag.Int("rounds", 3, "rounds of each measurement; the median counts")
	load := flag.Duration("load", 2*time.Second, "how long wrk and the steady client load a proxy")
	only := flag.String("only", "throughput,latency,idle,reloads,rollbacks", "what is measured")
	hold := flag.Bool("hold", false, "start everything, print where it listens, and wait for SIGINT: for a profiler")
	flag.Parse()
	err := lab.Run(func(ctx context.Context, l *lab.Lab) error {
		// 10 000 connections of ours, and those of the proxies, which inherit this.
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 20000, Max: 20000}); err != nil {
			return fmt.Errorf("20000 open files: %w", err)
		}
		b := &bench{Lab: l, programs: p}
		var err error
		if b.pages, err = makePages(ctx, l, p.refract, *pages); err != nil {
			return err
		}
		return b.run(ctx, *only, *rounds, *load, *hold)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func (l *bench) run(ctx context.Context, only string, rounds int, d time.Duration, hold bool) error {
	if err := l.startOrigin(); err != nil {
		return err
	}
	all, swap, err := l.start(ctx)
	if err != nil {
		return err
	}
	cookie := all[1].cookie
	if hold {
		for _, c := range all {
			fmt.Printf("%d %s -H 'Cookie: %s' %s\n", c.PID, c.title, c.cookie, c.url(l.pages[0]))
		}
		<-ctx.Done()
		return nil
	}
	fmt.Println(machine())
	for _, m := range []struct {
		name    string
		measure func() error
	}{
		{"throughput", func() error { return l.throughput(ctx, all, rounds, d) }},
		{"latency", func() error { return l.latency(ctx, all, rounds, 2*d) }},
		{"idle", func() error { return l.idle(ctx, all) }},
		{"reloads", func() error { return l.reloads(ctx, swap, cookie, 1000) }},
		{"rollbacks", func() error { return l.rollbacks(ctx, swap, cookie, 50) }},
	} {
		if !strings.Contains(only, m.name) {
			continue
		}
		if err := m.measure(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// table begins a table: a line of its own, which scripts/bench-docs keeps.
func table(name string) { fmt.Printf("\n**%s**\n\n", name) }

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// machine is what the figures hold for.
func machine() string {
	commit, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return fmt.Sprintf("%s, %d cores; %s %s/%s; %s; commit %s", processor(), runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		time.Now().UTC().Format(time.DateOnly), bytes.TrimSpace(commit))
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
