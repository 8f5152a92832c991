package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed14307185/refract/scripts/lab"
)

// contestant is a proxy in front of the origin.
type contestant struct {
	*lab.Process
	title  string
	swaps  bool
	prefix string // of the paths that it is asked for
	cookie string
}

// programs are the paths of what is measured.
type programs struct{ refract, reverseproxy, caddy, workerd, sources string }

const (
	titlePass    = "refract, no live rule"
	titleSwap    = "refract, three regions"
	titleNonce   = "refract, three regions, each page different near its top"
	titleKept    = "refract, three regions, pages with an ETag"
	titleNginx   = "nginx proxy_pass"
	titleSub     = "nginx sub_filter"
	titleReverse = "Go ReverseProxy"
	titleCaddy   = "Caddy reverse_proxy"
	titleReplace = "Caddy replace-response"
	titleWorkerd = "workerd HTMLRewriter"
)

// nginxConfig is one nginx with the modules and the servers given.
func (l *bench) nginxConfig(name, servers string) (string, error) {
	return l.Write(name+".conf", fmt.Sprintf(`daemon off;
pid %[1]s/%[2]s.pid;
error_log stderr crit;
worker_processes 2;
worker_rlimit_nofile 20000;
%[4]s
events { worker_connections 15000; }
http {
	access_log off;
	types { text/html html; }
	client_body_temp_path %[1]s/%[2]s-body;
	proxy_temp_path %[1]s/%[2]s-proxy;
	fastcgi_temp_path %[1]s/%[2]s-fastcgi;
	uwsgi_temp_path %[1]s/%[2]s-uwsgi;
	scgi_temp_path %[1]s/%[2]s-scgi;
	keepalive_requests 1000000000;
	keepalive_timeout 600s;
	sendfile on;
	tcp_nodelay on;
	%[3]s
}
`, l.Dir, name, servers, ifRoot("user root;")))
}

func ifRoot(s string) string {
	if os.Getuid() == 0 {
		return s
	}
	return ""
}

// bench is the Lab with its origin and the pages that this has.
type bench struct {
	*lab.Lab
	programs
	origin *lab.Process
	pages  []page
}

// startOrigin serves the pages at /NAME.html and, with 32 hexadecimal digits
// that are others in each response in its head, at /nonce/NAME.html.
func (l *bench) startOrigin() error {
	for _, p := range l.pages {
		if _, err := l.Write("pages/"+p.name+".html", p.original); err != nil {
			return err
		}
		nonce := strings.Replace(p.original, "</title>", "</title><meta name=\"csrf-token\" content=\"NONCE\">", 1)
		if _, err := l.Write("pages/nonce/"+p.name+".html", nonce); err != nil {
			return err
		}
	}
	addrs, err := lab.Addrs(1)
	if err != nil {
		return err
	}
	config, err := l.nginxConfig("origin", fmt.Sprintf(`
	server {
		listen %s backlog=4096 reuseport;
		root %s/pages;
		etag off;
		location = /seen { return 200 "seen"; }
		location /nonce/ { sub_filter NONCE $request_id; sub_filter_once on; }
		location /etag/ { alias %s/pages/; etag on; }
	}`, addrs[0], l.Dir, l.Dir))
	if err != nil {
		return err
	}
	l.origin, err = l.Start("origin", addrs[0], "nginx", "-p", l.Dir, "-c", config)
	return err
}

// start starts every contestant and shows that each gives the pages that it
// should.
func (l *bench) start(ctx context.Context) ([]*contestant, *lab.Refract, error) {
	addrs, err := lab.Addrs(6)
	if err != nil {
		return nil, nil, err
	}
	extra, err := l.extra(ctx)
	if err != nil {
		return nil, nil, err
	}
	pass, err := l.StartRefract(l.refract, lab.Setup{Name: "refract-pass", Origin: l.origin.Addr, Extra: extra})
	if err != nil {
		return nil, nil, err
	}
	var rules []lab.Rule
	for _, r := range regions {
		rules = append(rules, lab.Rule{Name: "swap-" + r.name, Surface: r.name, Fragment: r.now})
	}
	swap, err := l.StartRefract(l.refract, lab.Setup{Name: "refract-swap", Origin: l.origin.Addr, Extra: extra, Rules: rules})
	if err != nil {
		return nil, nil, err
	}
	visitor, err := swap.Treated(ctx, "/"+l.pages[0].name+".html", l.pages[0].treated)
	if err != nil {
		return nil, nil, err
	}
	all := []*contestant{
		{Process: pass.Process, title: titlePass},
		{Process: swap.Process, title: titleSwap, swaps: true},
		{Process: swap.Process, title: titleNonce, swaps: true, prefix: "/nonce"},
		{Process: swap.Process, title: titleKept, swaps: true, prefix: "/etag"},
	}
	add := func(title string, swaps bool, addr string, argv ...string) error {
		p, err := l.Start(strings.ReplaceAll(strings.ToLower(title), " ", "-"), addr, argv...)
		if err == nil {
			all = append(all, &contestant{Process: p, title: title, swaps: swaps})
		}
		return err
	}

	upstream := fmt.Sprintf("upstream app { server %s; keepalive 256; keepalive_requests 1000000000; }", l.origin.Addr)
	// Every proxy_set_header stands at one level: a location with one of its own
	// would not inherit the others, and lose the keep-alive with the origin.
	server := "server { listen %s backlog=4096 reuseport; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_set_header Accept-Encoding \"\"; %s location / { proxy_pass http://app; } }"
	config, err := l.nginxConfig("nginx-pass", upstream+fmt.Sprintf(server, addrs[0], ""))
	if err != nil {
		return nil, nil, err
	}
	if err := add(titleNginx, false, addrs[0], "nginx", "-p", l.Dir, "-c", config); err != nil {
		return nil, nil, err
	}
	filters, replacements := "sub_filter_once on; ", ""
	for _, r := range regions {
		filters += fmt.Sprintf("sub_filter '%s' '%s'; ", element(r.name, r.was), element(r.name, r.now))
		replacements += fmt.Sprintf("\t\t%s %s\n", quoted(element(r.name, r.was)), quoted(element(r.name, r.now)))
	}
	if config, err = l.nginxConfig("nginx-sub", upstream+fmt.Sprintf(server, addrs[1], filters)); err != nil {
		return nil, nil, err
	}
	if err := add(titleSub, true, addrs[1], "nginx", "-p", l.Dir, "-c", config); err != nil {
		return nil, nil, err
	}
	if err := add(titleReverse, false, addrs[2], l.reverseproxy, addrs[2], l.origin.Addr); err != nil {
		return nil, nil, err
	}
	for _, c := range []struct{ name, title, addr, replace string }{
		{"caddy-pass", titleCaddy, addrs[3], ""},
		{"caddy-replace", titleReplace, addrs[4], "\treplace {\n\t\tstream\n" + replacements + "\t}\n"},
	} {
		if l.caddy == "" {
			break
		}
		_, port, _ := strings.Cut(c.addr, ":")
		file, err := l.Write(c.name+"/Caddyfile", fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n\torder replace after encode\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n"+
			"http://:%s {\n\tbind 127.0.0.1\n%s\treverse_proxy %s {\n\t\theader_up Accept-Encoding identity\n\t\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host 1024\n\t\t}\n\t}\n}\n",
			port, c.replace, l.origin.Addr))
		if err != nil {
			return nil, nil, err
		}
		if err := add(c.title, c.replace != "", c.addr, "env", "HOME="+l.Dir, l.caddy, "run", "--config", file); err != nil {
			return nil, nil, err
		}
	}
	environment := []string{"env"}
	for _, r := range regions {
		environment = append(environment, strings.ToUpper(r.name)+"="+r.now)
	}
	if l.workerd == "" {
		return all, swap, l.checkAll(ctx, all, visitor)
	}
	if err := add(titleWorkerd, true, addrs[5], append(environment, l.workerd, "serve", filepath.Join(l.sources, "proxy.capnp"),
		"--socket-addr", "http="+addrs[5], "--external-addr", "origin="+l.origin.Addr)...); err != nil {
		return nil, nil, err
	}
	return all, swap, l.checkAll(ctx, all, visitor)
}

// checkAll gives every contestant the visitor's cookie, and has it show that it
// does its work.
func (l *bench) checkAll(ctx context.Context, all []*contestant, visitor string) error {
	for _, c := range all {
		c.cookie = "user=" + visitor
		for _, p := range l.pages {
			if err := c.check(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// extra is what refract.yaml says besides, as far as the binary knows it: no
// access log, as the peers have none, and no limit that the load would meet.
func (l *bench) extra(ctx context.Context) (string, error) {
	schema, err := lab.Schema(ctx, l.refract)
	if err != nil {
		return "", err
	}
	extra := ""
	for key, value := range map[string]string{"access_log": "{format: off}", "limits": "{per_ip: 0, connections: 0, idle: 10m}"} {
		if schema[key] != nil {
			extra += key + ": " + value + "\n"
		}
	}
	return extra, nil
}

func (c *contestant) url(p page) string {
	return "http://" + c.Addr + c.prefix + "/" + p.name + ".html"
}

// check gets a page and compares it with what it should be.
func (c *contestant) check(ctx context.Context, p page) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(p), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Cookie", c.cookie)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", c.title, err, c.Log())
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", c.title, err)
	}
	got, want := string(b), p.original
	if c.swaps {
		want = p.treated
	}
	if c.prefix != "" { // the same but for the element with the nonce
		before, rest, _ := strings.Cut(got, `<meta name="csrf-token"`)
		_, after, _ := strings.Cut(rest, ">")
		got = before + after
	}
	if got != want {
		return fmt.Errorf("%s: %s is not as it should be: %d bytes, not %d, status %d", c.title, p.name, len(got), len(want), resp.StatusCode)
	}
	return nil
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }
