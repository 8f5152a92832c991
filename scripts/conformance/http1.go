package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// curl gives what curl wrote and its exit status: 18 is a transfer cut short,
// 28 a time-out, 52 no answer, 56 a failed CONNECT or a reset.
func (s *suite) curl(ctx context.Context, args ...string) (string, int) {
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-sS", "--noproxy", "", "--max-time", "20"}, args...)...)
	cmd.Dir = s.Dir
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		return err.Error(), -1
	}
	return string(out), 0
}

// header is the values of a field in what curl -i or -D wrote, in order.
func header(out, name string) string {
	var values []string
	for _, m := range regexp.MustCompile(`(?mi)^`+regexp.QuoteMeta(name)+`: *([^\r\n]*)`).FindAllStringSubmatch(out, -1) {
		values = append(values, m[1])
	}
	return strings.Join(values, "; ")
}

// http1 is HTTP/1.1, case by case: curl where it can send such a request, bytes
// of our own where no client would.
func (s *suite) http1(ctx context.Context) error {
	o, stop, err := s.startOrigin()
	if err != nil {
		return err
	}
	defer stop()
	r, err := s.StartRefract(s.refract, lab.Setup{Name: "http1", Origin: o.addr})
	if err != nil {
		return err
	}
	url := "http://" + r.Addr
	direct := "http://" + o.addr

	for _, c := range []struct {
		check string
		args  []string
	}{
		{"a page is the app's, to the byte", []string{"/page"}},
		{"16 MB", []string{"-o", "large", "-w", "%{size_download}", "/large"}},
		{"a method of its own", []string{"-X", "PURGE", "/echo", "-o", "-", "-w", "%{http_code}", "-H", "Accept-Encoding: identity"}},
		{"a path is not normalised", []string{"--path-as-is", "/a/../b//c;d=1/%2e%2e%2f/%41?x=1;y=%zz"}},
		{"If-None-Match that matches", []string{"-H", `If-None-Match: "app-1"`, "-w", "%{http_code}", "/page"}},
		{"a range", []string{"-r", "0-14", "-w", "%{http_code}", "/page"}},
		{"a range that can't be", []string{"-r", "900000-", "-w", "%{http_code}", "/page"}},
		{"ranges", []string{"-r", "0-1,4-5", "-o", "ranges", "-w", "%{http_code} %{size_download}", "/page"}},
		{"HEAD", []string{"-I", "-o", "head", "-w", "%{http_code} %{size_download} %header{content-length} %header{etag}", "/page"}},
		{"204", []string{"-w", "%{http_code} %header{content-length}%header{transfer-encoding}", "/204"}},
		{"304", []string{"-w", "%{http_code} %header{etag}", "/304"}},
		{"HTTP/1.0", []string{"--http1.0", "-w", "%{http_code} %header{transfer-encoding}", "/page"}},
		{"Expect: 100-continue", []string{"-H", "Expect: 100-continue", "-d", "a=1", "-w", "%{http_code}", "/drain"}},
		{"a chunked request", []string{"-H", "Transfer-Encoding: chunked", "-d", strings.Repeat("x", 100_000), "/drain"}},
		{"a response cut short of its length", []string{"/cut"}},
		{"a chunked response cut short", []string{"/cut-chunked"}},
		{"a connection reset in the midst of a response", []string{"/cut-reset"}},
	} {
		at := len(c.args)
		for i, a := range c.args {
			if strings.HasPrefix(a, "/") {
				at = i
			}
		}
		path := c.args[at]
		args := append(append([]string{}, c.args[:at]...), c.args[at+1:]...)
		want, wantExit := s.curl(ctx, append(args, direct+path)...)
		got, gotExit := s.curl(ctx, append(args, url+path)...)
		for _, field := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via", "Cdn-Loop", "Traceparent"} {
			got = regexp.MustCompile(`(?m)^`+field+`:.*\r?\n`).ReplaceAllString(got, "")
			want = strings.ReplaceAll(want, o.addr, r.Addr)
		}
		s.note("curl", c.check, fmt.Sprintf("as directly: exit %d, %q", wantExit, want), fmt.Sprintf("exit %d, %q", gotExit, got),
			got == want && gotExit == wantExit || wantExit != 0 && gotExit != 0 && strings.HasPrefix(want, got)) // cut shorter is cut short too
	}

	out, _ := s.curl(ctx, "-i", url+"/cookies")
	s.check("curl", "Set-Cookie: all, in order", "a=1; Path=/; b=2; Expires=Mon, 02 Nov 2037 10:00:00 GMT; a=3; Path=/x", header(out, "Set-Cookie"))
	out, _ = s.curl(ctx, "-i", url+"/hints")
	s.check("curl", "103 Early Hints before the response", "103 200", strings.Join(statuses(out), " "))
	out, _ = s.curl(ctx, "-D", "-", "-o", "trailers", url+"/trailers")
	s.check("curl", "trailers, announced or not", "4, yes", header(out, "X-Sum")+", "+header(out, "X-Unannounced"))
	out, _ = s.curl(ctx, "--http2", "-w", "%{http_version}", "-o", "h2c", url+"/page")
	s.check("curl", "no upgrade to h2c", "1.1", out)
	out, _ = s.curl(ctx, "--http2", url+"/echo")
	s.check("curl", "Upgrade: h2c is not sent on", "", header(out, "Upgrade")+header(out, "Http2-Settings"))
	out, _ = s.curl(ctx, "-X", "TRACE", "-o", "trace", "-w", "%{http_code}", url+"/echo")
	s.check("curl", "TRACE", "405", out)
	out, _ = s.curl(ctx, "-p", "-x", url, "-o", "connect", "-w", "%{http_connect}", "http://app.example.com/")
	s.note("curl", "CONNECT", "refused", out, len(out) == 3 && out[0] == '4')
	out, _ = s.curl(ctx, "-H", "X-Forwarded-For: 6.6.6.6", "-H", "X_Forwarded_For: 6.6.6.6", "-H", "Connection: X-Forwarded-For", url+"/echo")
	s.check("curl", "X-Forwarded-For of a stranger is replaced, its aliases dropped, and can't be stripped", "127.0.0.1",
		header(out, "X-Forwarded-For")+header(out, "X_Forwarded_For"))
	out, _ = s.curl(ctx, "--tr-encoding", url+"/echo")
	s.check("curl", "TE of the client is not sent on", "", header(out, "Te"))
	out, _ = s.curl(ctx, "-H", "Connection: X-Hop", "-H", "X-Hop: 1", "-H", "Keep-Alive: 5", "-H", "Proxy-Authorization: Basic eA==", url+"/echo")
	s.check("curl", "hop-by-hop fields are not sent on", "", header(out, "X-Hop")+header(out, "Keep-Alive")+header(out, "Proxy-Authorization"))
	out, exit := s.curl(ctx, "--max-time", "2", url+"/half")
	s.check("curl", "what has come is passed on while the app pauses", fmt.Sprintf("exit 28, %d bytes", len(html)), fmt.Sprintf("exit %d, %d bytes", exit, len(out)))
	var many []string
	for i := range 400 {
		many = append(many, "-H", fmt.Sprintf("X-%d: 1", i))
	}
	out, _ = s.curl(ctx, append(many, "-o", "many", "-w", "%{http_code}", url+"/page")...)
	s.check("curl", "400 fields", "431", out)
	out, _ = s.curl(ctx, "-H", "X-Large: "+strings.Repeat("x", 100<<10), "-o", "large", "-w", "%{http_code}", url+"/page")
	s.check("curl", "a field of 100 KB", "431", out)
	out, _ = s.curl(ctx, "-o", "large", "-w", "%{http_code}", url+"/large-header")
	s.check("curl", "a field of 300 KB from the app", "502", out)

	s.hostile(r, o)
	if err := s.swapped(ctx, o); err != nil {
		return err
	}
	stop()
	out, _ = s.curl(ctx, "-o", "down", "-w", "%{http_code}", url+"/page")
	s.check("curl", "the app is down", "502", out)
	return nil
}

// statuses are those of the responses in what curl -i wrote.
func statuses(out string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^HTTP/[\d.]+ (\d+)`).FindAllStringSubmatch(out, -1) {
		list = append(list, m[1])
	}
	return list
}

// hostile is what no client sends. Each request is followed by another, which
// must not be answered, since where it begins is in doubt.
func (s *suite) hostile(r *lab.Refract, o *origin) {
	const head = "POST /hostile HTTP/1.1\r\nHost: a\r\n"
	const next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct{ check, request, status string }{
		{"Content-Length and Transfer-Encoding", head + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX" + next, "400"},
		{"two lengths", head + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + next, "400"},
		{"a list of lengths", head + "Content-Length: 0, 5\r\n\r\n" + next, "400"},
		{"a signed length", head + "Content-Length: +0\r\n\r\n" + next, "400"},
		{"an unknown transfer coding", head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + next, "501"},
		{"chunked twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "400 501"},
		{"HTTP/1.0 with Transfer-Encoding", "POST /hostile HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "400"},
		{"space before a colon", "GET /hostile HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n" + next, "400"},
		{"a folded field", "GET /hostile HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n" + next, "400"},
		{"lines that end in LF", "GET /hostile HTTP/1.1\nHost: a\n\n" + next, "400"},
		{"a bare CR in a field", "GET /hostile HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n" + next, "400"},
		{"NUL in a field", "GET /hostile HTTP/1.1\r\nHost: a\r\nX: 1\x002\r\n\r\n" + next, "400"},
		{"no Host", "GET /hostile HTTP/1.1\r\n\r\n" + next, "400"},
		{"two Hosts", "GET /hostile HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + next, "400"},
		{"HTTP/1.2", "GET /hostile HTTP/1.2\r\nHost: a\r\n\r\n" + next, "400 505"},
		{"http/1.1", "GET /hostile http/1.1\r\nHost: a\r\n\r\n" + next, "400"},
		{"a space in the path", "GET /hos tile HTTP/1.1\r\nHost: a\r\n\r\n" + next, "400"},
	} {
		s.refused(r, o, c.check, c.request, c.status, "/hostile")
	}
	const chunked = "POST /drain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct{ check, body string }{
		{"a chunk size that is none", "zz\r\nabc\r\n0\r\n\r\n"},
		{"a chunk size beyond 64 bits", "ffffffffffffffffff1\r\nabc\r\n0\r\n\r\n"},
		{"a chunk longer than its size", "2\r\nabcd\r\n0\r\n\r\n"},
		{"a chunk size that ends in LF", "3\nabc\r\n0\r\n\r\n"},
		{"a negative chunk size", "-1\r\nabc\r\n0\r\n\r\n"},
	} {
		s.refused(r, o, c.check, chunked+c.body+next, "400", "")
	}
}

// refused checks that a request gets one of the statuses and the end of the
// connection, and that the app gets to see neither path nor what follows.
func (s *suite) refused(r *lab.Refract, o *origin, check, request, status, path string) {
	for len(o.seen) > 0 {
		<-o.seen
	}
	got, closed := raw(r.Addr, request)
	ok := strings.Contains(" "+status+" ", " "+got+" ") && closed
	if closed {
		got += ", closed"
	}
	for len(o.seen) > 0 {
		if seen := <-o.seen; strings.HasSuffix(seen, "/smuggled") || path != "" && strings.HasSuffix(seen, path) {
			got += ", the app got " + seen
			ok = false
		}
	}
	s.note("bytes", check, strings.ReplaceAll(status, " ", " or ")+", closed", got, ok)
}

// swapped is what a treated page's headers say, and that its validators end
// with it.
func (s *suite) swapped(ctx context.Context, o *origin) error {
	r, err := s.StartRefract(s.refract, lab.Setup{Name: "swapped", Origin: o.addr, Rules: []lab.Rule{{Name: "swap-top", Surface: "top", Fragment: "<p>new</p>"}}})
	if err != nil {
		return err
	}
	want := strings.Replace(html, ">old<", "><p>new</p><", 1)
	visitor, err := r.Treated(ctx, "/page", want)
	if err != nil {
		return err
	}
	url := "http://" + r.Addr + "/page"
	get := func(args ...string) string {
		out, _ := s.curl(ctx, append([]string{"-i", "-b", "user=" + visitor}, append(args, url)...)...)
		return out
	}
	body := func(out string) string { _, b, _ := strings.Cut(out, "\r\n\r\n"); return b }
	treated := get()
	s.check("curl", "a treated page", want, body(treated))
	s.note("curl", "… is private", "private", header(treated, "Cache-Control"), strings.Contains(header(treated, "Cache-Control"), "private"))
	s.note("curl", "… has not the app's validators", `not "app-1", no Last-Modified`, header(treated, "ETag")+" "+header(treated, "Last-Modified"),
		header(treated, "ETag") != `"app-1"` && header(treated, "Last-Modified") == "")
	out := get("-H", `If-None-Match: "app-1"`, "-H", "If-Modified-Since: Mon, 02 Nov 2026 10:00:00 GMT")
	s.check("curl", "… is not 304 by the app's validators", "200 "+want, strings.Join(statuses(out), " ")+" "+body(out))
	out = get("-r", "0-9", "-H", "Accept: text/html") // as a browser asks for a page; any type and a range is taken for a file
	s.check("curl", "… is not given in part", "200 "+want, strings.Join(statuses(out), " ")+" "+body(out))
	out, _ = s.curl(ctx, "-I", "-b", "user="+visitor, url)
	same := true
	for _, field := range []string{"Content-Type", "Cache-Control", "ETag", "Last-Modified", "Vary", "Accept-Ranges"} {
		same = same && header(out, field) == header(treated, field)
	}
	s.note("curl", "HEAD of it", "the fields of GET", out, same)
	out, _ = s.curl(ctx, "-i", "-b", "user="+visitor, url+"?cache=no-transform")
	s.check("curl", "no-transform", html, body(out))
	s.check("curl", "Sec-GPC: 1", html, body(get("-H", "Sec-GPC: 1")))
	for _, coding := range []string{"gzip", "br", "deflate", "identity"} {
		out, _ := s.curl(ctx, "--compressed", "-H", "Accept-Encoding: "+coding, "-b", "user="+visitor, url)
		s.check("curl", "it in "+coding, want, out)
	}
	if err := r.Call(http.MethodPost, "/api/rules/swap-top/rollback", map[string]string{"who": "conformance", "why": "conformance"}, nil); err != nil {
		return err
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end) && body(get()) != html; {
		time.Sleep(10 * time.Millisecond)
	}
	s.check("curl", "after a rollback", html, body(get()))
	if etag := header(treated, "ETag"); etag != "" {
		out = get("-H", "If-None-Match: "+etag)
		s.check("curl", "… not 304 by the treated page's validator", "200 "+html, strings.Join(statuses(out), " ")+" "+body(out))
	}
	out = get("-H", `If-None-Match: "app-1"`)
	s.check("curl", "… 304 by the app's", "304", strings.Join(statuses(out), " "))
	return nil
}
