package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// sample is one round of wrk.
type sample struct {
	cpu  float64 // microseconds of the proxy per request
	rate float64 // requests per second
}

var (
	wrkDone   = regexp.MustCompile(`(\d+) requests in ([\d.]+)(ms|s)`)
	wrkFailed = regexp.MustCompile(`(?m)^ *(Socket errors|Non-2xx).*$`)
)

// wrk drives a contestant with 64 connections, or with 8 where pages are so
// large that those would be half done for the most part when time is up.
func (l *bench) wrk(ctx context.Context, c *contestant, p page, d time.Duration) (sample, error) {
	conns := 64
	if len(p.original) > 1<<20 {
		conns = 8
	}
	before, err := c.CPU()
	if err != nil {
		return sample{}, err
	}
	out, err := lab.Output(ctx, l.Dir, "wrk", "-t1", fmt.Sprintf("-c%d", conns), fmt.Sprintf("-d%ds", max(1, int(d.Seconds()))), "--timeout", "10s",
		"-H", "Cookie: "+c.cookie, "-H", "Accept-Encoding: identity", "-H", "Accept: text/html,*/*;q=0.8", c.url(p))
	if err != nil {
		return sample{}, err
	}
	after, err := c.CPU()
	if err != nil {
		return sample{}, err
	}
	if failed := wrkFailed.FindString(out); failed != "" {
		return sample{}, fmt.Errorf("%s, %s: %s", c.title, p.size, failed)
	}
	m := wrkDone.FindStringSubmatch(out)
	if m == nil {
		return sample{}, fmt.Errorf("%s, %s: wrk: %s", c.title, p.size, out)
	}
	requests, _ := strconv.ParseFloat(m[1], 64)
	took, err := time.ParseDuration(m[2] + m[3])
	if err != nil || requests == 0 {
		return sample{}, fmt.Errorf("%s, %s: wrk: %s", c.title, p.size, out)
	}
	return sample{float64((after - before).Microseconds()) / requests, requests / took.Seconds()}, nil
}

// throughput has the contestants take turns and prints what a request costs
// each.
func (l *bench) throughput(ctx context.Context, all []*contestant, rounds int, d time.Duration) error {
	medians := map[string][]sample{} // by title, for each page
	for _, p := range l.pages {
		samples := map[string][]sample{}
		for round := range rounds + 1 {
			for _, c := range all {
				s, err := l.wrk(ctx, c, p, d)
				if err != nil {
					return err
				}
				if round > 0 { // the first warms up
					samples[c.title] = append(samples[c.title], s)
				}
			}
		}
		for title, s := range samples {
			cpu, rate := make([]float64, len(s)), make([]float64, len(s))
			for i := range s {
				cpu[i], rate[i] = s[i].cpu, s[i].rate
			}
			medians[title] = append(medians[title], sample{median(cpu), median(rate)})
		}
	}
	table("CPU-µs a request")
	head := "| proxy |"
	for _, p := range l.pages {
		head += fmt.Sprintf(" %s |", p.size)
	}
	for _, p := range l.pages {
		head += fmt.Sprintf(" %s: requests/s |", p.size)
	}
	fmt.Println(head + "\n|---|" + repeat("--:|", 2*len(l.pages)))
	for _, c := range all {
		row := "| " + c.title + " |"
		for _, s := range medians[c.title] {
			row += fmt.Sprintf(" %.1f |", s.cpu)
		}
		for _, s := range medians[c.title] {
			row += fmt.Sprintf(" %.0f |", s.rate)
		}
		fmt.Println(row)
	}
	table("ratios of CPU-µs, and the goals")
	head = "| |"
	for _, p := range l.pages {
		head += fmt.Sprintf(" %s |", p.size)
	}
	fmt.Println(head + " goal |\n|---|" + repeat("--:|", len(l.pages)) + "---|")
	for _, r := range []struct{ ours, theirs, goal string }{
		{titlePass, titleReverse, "at most 0.7"},
		{titlePass, titleNginx, ""},
		{titlePass, titleCaddy, ""},
		{titleSwap, titleSub, "at most 2 at 10 KB, below 1 on larger pages"},
		{titleSwap, titleWorkerd, "at most 0.15"},
		{titleSwap, titleReplace, "at most 0.35"},
		{titleNonce, titleSub, ""},
		{titleKept, titleSub, ""},
	} {
		if medians[r.theirs] == nil { // left out
			continue
		}
		row := fmt.Sprintf("| %s ÷ %s |", r.ours, r.theirs)
		for i := range l.pages {
			row += fmt.Sprintf(" %.2f |", medians[r.ours][i].cpu/medians[r.theirs][i].cpu)
		}
		fmt.Println(row + " " + r.goal + " |")
	}
	return nil
}

// median sorts values.
func median(values []float64) float64 { return quantile(values, 0.5) }

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}
