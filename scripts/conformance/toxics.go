package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// toxics puts toxiproxy between refract and the app. What an app did not end
// must not look as if it had, treated or not.
func (s *suite) toxics(ctx context.Context) error {
	o, stop, err := s.startOrigin()
	if err != nil {
		return err
	}
	defer stop()
	addrs, err := lab.Addrs(2)
	if err != nil {
		return err
	}
	host, port, _ := strings.Cut(addrs[0], ":")
	if _, err := s.Start("toxiproxy", addrs[0], filepath.Join(s.tools, "server"), "-host", host, "-port", port); err != nil {
		return err
	}
	api := "http://" + addrs[0]
	if err := call(ctx, http.MethodPost, api+"/proxies", map[string]any{"name": "app", "listen": addrs[1], "upstream": o.addr, "enabled": true}); err != nil {
		return err
	}
	schema, err := lab.Schema(ctx, s.refract)
	if err != nil {
		return err
	}
	response := ""
	if bytes.Contains(schema["origin"], []byte("anyOf")) { // it may be a mapping
		response = "2s"
	}
	r, err := s.StartRefract(s.refract, lab.Setup{Name: "toxic", Origin: addrs[1], Response: response,
		Rules: []lab.Rule{{Name: "swap-top", Surface: "top", Fragment: "<p>new</p>"}}})
	if err != nil {
		return err
	}
	whole := long()
	treated := strings.Replace(whole, ">old<", "><p>new</p><", 1)
	visitor, err := r.Treated(ctx, "/long", treated)
	if err != nil {
		return err
	}
	if o.sends(ctx, s, r, "/long", "") != "200, whole" {
		return fmt.Errorf("without a toxic the page is not whole")
	}
	type toxic struct {
		kind       string
		attributes map[string]any
	}
	for _, c := range []struct {
		check, path, want string
		toxics            []toxic
	}{
		{"latency of 300 ms", "/long", "200, whole", []toxic{{"latency", map[string]any{"latency": 300, "jitter": 50}}}},
		{"2 MB/s", "/long", "200, whole", []toxic{{"bandwidth", map[string]any{"rate": 2000}}}},
		{"slices of some 50 bytes", "/page", "200, whole", []toxic{{"slicer", map[string]any{"average_size": 50, "size_variation": 30, "delay": 100}}}},
		{"reset at once", "/long", "502", []toxic{{"reset_peer", map[string]any{"timeout": 0}}}},
		{"closed before the response", "/long", "502", []toxic{{"timeout", map[string]any{"timeout": 300}}}},
		{"no answer at all", "/long", "504", []toxic{{"timeout", map[string]any{"timeout": 0}}}},
		{"the end within the head", "/long", "502", []toxic{{"limit_data", map[string]any{"bytes": 40}}}},
		{"the end after 2 KB", "/long", "cut short", []toxic{{"limit_data", map[string]any{"bytes": 2000}}}},
		{"the end after 100 KB", "/long", "cut short", []toxic{{"limit_data", map[string]any{"bytes": 100_000}}}},
		{"the end after 100 KB, chunked", "/long-chunked", "cut short", []toxic{{"limit_data", map[string]any{"bytes": 100_000}}}},
		{"the end after 700 bytes, gzip", "/long-gzip", "cut short", []toxic{{"limit_data", map[string]any{"bytes": 700}}}},
		{"reset after 800 ms", "/long", "502", []toxic{{"reset_peer", map[string]any{"timeout": 800}}}},
	} {
		for i, t := range c.toxics {
			err := call(ctx, http.MethodPost, api+"/proxies/app/toxics", map[string]any{"name": fmt.Sprint("t", i), "type": t.kind, "stream": "downstream", "attributes": t.attributes})
			if err != nil {
				return err
			}
		}
		s.check("toxiproxy", c.check, c.want, o.sends(ctx, s, r, c.path, ""))
		s.check("toxiproxy", "… of a treated page", c.want, o.sends(ctx, s, r, c.path, visitor))
		for i := range c.toxics {
			if err := call(ctx, http.MethodDelete, api+"/proxies/app/toxics/"+fmt.Sprint("t", i), nil); err != nil {
				return err
			}
		}
	}
	if err := call(ctx, http.MethodPost, api+"/proxies/app", map[string]any{"enabled": false}); err != nil {
		return err
	}
	s.check("toxiproxy", "nobody listens", "502", o.sends(ctx, s, r, "/long", ""))
	if err := call(ctx, http.MethodPost, api+"/proxies/app", map[string]any{"enabled": true}); err != nil {
		return err
	}
	got := ""
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && got != "200, whole"; time.Sleep(200 * time.Millisecond) {
		got = o.sends(ctx, s, r, "/long", visitor)
	}
	s.check("toxiproxy", "within 15 s after all that", "200, whole", got)
	return nil
}

// sends tells how a page comes through r: its status, and whether it is whole,
// cut short so that a client notices, or, what must not be, cut short in
// silence.
func (o *origin) sends(ctx context.Context, s *suite, r *lab.Refract, path, visitor string) string {
	want := html
	if path != "/page" {
		want = long()
	}
	if visitor != "" {
		want = strings.Replace(want, ">old<", "><p>new</p><", 1)
	}
	out, exit := s.curl(ctx, "-i", "--compressed", "-b", "user="+visitor, "http://"+r.Addr+path)
	head, body, _ := strings.Cut(out, "\r\n\r\n")
	status := strings.Join(statuses(head), " ")
	switch {
	case exit == 18 || exit == 52 || exit == 56 || exit == 61 || exit == 23:
		return "cut short"
	case exit != 0:
		return fmt.Sprintf("curl: exit %d", exit)
	case status != "200":
		return status
	case body == want:
		return "200, whole"
	default:
		return fmt.Sprintf("200, and %d of %d bytes as if they were all", len(body), len(want))
	}
}

// long is a page of 300 KB.
func long() string {
	return strings.Replace(html, "<p>", strings.Repeat("<p class=\"line\">The quick brown fox &amp; the lazy dog</p>\n", 5200)+"<p>", 1)
}

// call asks a JSON API.
func call(ctx context.Context, method, url string, in any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, b)
	}
	return nil
}
