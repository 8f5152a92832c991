package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

const slowSeconds = 15

// slow is slowhttptest in its three modes, with somebody who asks for a page
// meanwhile.
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
	for _, m := range []struct {
		name string
		args []string
	}{
		{"slow headers", []string{"-H", "-i", "1", "-u", url + "/page"}},
		{"slow body", []string{"-B", "-i", "1", "-s", "100000", "-u", url + "/drain"}},
		{"slow read", []string{"-X", "-n", "1", "-z", "5", "-w", "1", "-y", "512", "-u", url + "/large"}},
	} {
		meanwhile := make(chan string, 1)
		asking, cancel := context.WithCancel(ctx)
		go func() { meanwhile <- ask(asking, url+"/page") }()
		out, err := lab.Output(ctx, s.Dir, append([]string{"slowhttptest", "-c", "200", "-r", "100", "-l", fmt.Sprint(slowSeconds), "-p", "3", "-v", "1"}, m.args...)...)
		cancel()
		served := <-meanwhile
		if err != nil {
			return err
		}
		out = plain(out)
		s.check("slowhttptest", m.name+", 200 connections: its own probe is served", "YES", last(out, `service available: +(YES|NO)`))
		if m.name == "slow headers" { // nobody may take longer than read_header for them
			s.check("slowhttptest", "… and they are all closed before it ends", "No open connections left", strings.TrimSpace(last(out, `Exit status:(.*)`)))
		}
		s.check("slowhttptest", "… another client meanwhile", "every request within 2 s", served)
	}
	return nil
}

// ask asks for a page ten times a second until ctx ends, and tells whether it
// got it every time.
func ask(ctx context.Context, url string) string {
	asked, served := 0, 0
	var slowest time.Duration
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		asked++
		at := time.Now()
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				served++
			}
		}
		slowest = max(slowest, time.Since(at))
		time.Sleep(100 * time.Millisecond)
	}
	if served == asked && slowest < 2*time.Second {
		return "every request within 2 s"
	}
	return fmt.Sprintf("%d of %d, the slowest in %v", served, asked, slowest.Round(time.Millisecond))
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
