package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

const slowSeconds = 15

// slow is slowhttptest in its three modes at once, with somebody who asks for a
// page meanwhile.
func (s *suite) slow(ctx context.Context) error {
	o, stop, err := s.startOrigin()
	if err != nil {
		return err
	}
	defer stop()
	schema, err := lab.Schema(ctx, s.refract)
	if err != nil {
		return err
	}
	extra := ""
	if schema["limits"] != nil {
		extra = "limits: {read_header: 3s, progress: 3s}\n"
	}
	r, err := s.StartRefract(s.refract, lab.Setup{Name: "slow", Origin: o.addr, Extra: extra})
	if err != nil {
		return err
	}
	url := "http://" + r.Addr
	modes := []struct {
		name string
		args []string
		out  string
		err  error
	}{
		{name: "slow headers", args: []string{"-H", "-i", "1", "-u", url + "/page"}},
		{name: "slow body", args: []string{"-B", "-i", "1", "-s", "100000", "-u", url + "/drain"}},
		{name: "slow read", args: []string{"-X", "-n", "1", "-z", "5", "-w", "1", "-y", "512", "-k", "3", "-u", url + "/large"}},
	}
	var tests sync.WaitGroup
	for i := range modes {
		m := &modes[i]
		tests.Go(func() {
			m.out, m.err = lab.Output(ctx, s.Dir, append([]string{"slowhttptest", "-c", "200", "-r", "100", "-l", fmt.Sprint(slowSeconds), "-p", "3", "-v", "1"}, m.args...)...)
		})
	}
	asked, served := 0, 0
	var slowest time.Duration
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(slowSeconds * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		asked++
		at := time.Now()
		resp, err := client.Get(url + "/page")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				served++
			}
		}
		slowest = max(slowest, time.Since(at))
	}
	tests.Wait()
	for _, m := range modes {
		if m.err != nil {
			return m.err
		}
		out := plain(m.out)
		s.check("slowhttptest", m.name+", 200 connections: its own probe is served", "YES", last(out, `service available: +(YES|NO)`))
		if m.name == "slow headers" { // nobody may take longer than read_header for them
			s.check("slowhttptest", "… and they are closed", "200", last(out, `closed: +(\d+)`))
		}
	}
	s.note("slowhttptest", "meanwhile, another client", "every request is answered within 2 s", fmt.Sprintf("%d of %d, the slowest in %v", served, asked, slowest.Round(time.Millisecond)),
		served == asked && slowest < 2*time.Second)
	return nil
}

// plain is text without the colours of a terminal.
func plain(s string) string {
	return regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(s, "")
}

// last is the last that the group of a pattern finds.
func last(s, pattern string) string {
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(s, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}
