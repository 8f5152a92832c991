package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// startTLS is refract with TLS in front of an app; with -baseline it is Go's own
// server as the app.
func (s *suite) startTLS(name string) (*lab.Refract, func(), error) {
	if s.bare {
		addr, stop, err := s.baseline()
		return &lab.Refract{TLS: addr}, stop, err
	}
	o, stop, err := s.startOrigin()
	if err != nil {
		return nil, nil, err
	}
	r, err := s.StartRefract(s.refract, lab.Setup{Name: name, Origin: o.addr, TLS: true})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return r, stop, nil
}

// baseline is net/http's own server over TLS: what refract's is measured by.
func (s *suite) baseline() (addr string, stop func(), err error) {
	chain, key, err := s.Certificate()
	if err != nil {
		return "", nil, err
	}
	pair, err := tls.LoadX509KeyPair(chain, key)
	if err != nil {
		return "", nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: &origin{seen: make(chan string)}, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}, ErrorLog: log.New(io.Discard, "", 0)}
	go server.ServeTLS(ln, "", "")
	return ln.Addr().String(), func() { server.Close() }, nil
}

// h2spec runs all of its cases against refract and against Go's own server. A
// case may fail only where it fails with the latter.
func (s *suite) h2spec(ctx context.Context) error {
	addr, stop, err := s.baseline()
	if err != nil {
		return err
	}
	defer stop()
	total, known, err := s.h2specAt(ctx, addr)
	if err != nil {
		return err
	}
	s.note("h2spec", "Go's own server, to compare with", "", fmt.Sprintf("%d of %d pass", total-len(known), total), total > 100)
	r, stop, err := s.startTLS("h2spec")
	if err != nil {
		return err
	}
	defer stop()
	total, failed, err := s.h2specAt(ctx, r.TLS)
	if err != nil {
		return err
	}
	// A case that depends on timing may fail once: it must fail again.
	more := without(failed, known)
	if len(more) > 0 && len(more) < 10 {
		_, again, err := s.h2specAt(ctx, r.TLS)
		if err != nil {
			return err
		}
		more = slices.DeleteFunc(more, func(id string) bool { return !slices.Contains(again, id) })
	}
	s.note("h2spec", "over TLS", "what fails, fails with Go's server too", fmt.Sprintf("%d of %d pass; others than there: %s", total-len(failed), total, strings.Join(more, "; ")),
		total > 100 && len(more) == 0)
	return nil
}

func without(list, known []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(id string) bool { return slices.Contains(known, id) })
}

// h2specAt gives the number of cases and those that failed.
func (s *suite) h2specAt(ctx context.Context, addr string) (total int, failed []string, err error) {
	host, port, _ := strings.Cut(addr, ":")
	report := filepath.Join(s.Dir, "h2spec.xml")
	os.Remove(report)
	_, runErr := lab.Output(ctx, s.Dir, filepath.Join(s.tools, "h2spec"), "-h", host, "-p", port, "-t", "-k", "-P", "/drain", "-o", "2", "-j", report)
	b, err := os.ReadFile(report)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", runErr, err) // a failed case is a failure of the program too
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Package string    `xml:"package,attr"`
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b, &suites); err != nil {
		return 0, nil, err
	}
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			if c.Skipped != nil {
				continue
			}
			total++
			if c.Failure != nil || c.Error != nil {
				failed = append(failed, c.Package+" "+c.Name)
			}
		}
	}
	return total, failed, nil
}

// nghttp is HTTP/2 by nghttp and h2load.
func (s *suite) nghttp(ctx context.Context) error {
	r, stop, err := s.startTLS("nghttp")
	if err != nil {
		return err
	}
	defer stop()
	url := "https://" + r.TLS
	chain, _, err := s.Certificate()
	if err != nil {
		return err
	}
	out, err := lab.Output(ctx, s.Dir, "nghttp", "--no-verify-peer", url+"/page")
	if err != nil {
		return err
	}
	s.check("nghttp", "a page", html, out)
	for _, c := range []struct {
		check string
		args  []string
		want  string // in what nghttp -v tells
	}{
		{"a trailer", []string{"-v", "-n", url + "/trailers"}, `x-sum: 4`},
		{"103 Early Hints", []string{"-v", "-n", url + "/hints"}, `:status: 103`},
		{"HEAD", []string{"-v", "-n", "-H:method: HEAD", url + "/page"}, `content-length: 82`},
		{"Expect: 100-continue", []string{"-v", "-n", "--expect-continue", "-d", chain, url + "/drain"}, `:status: 200`},
		{"a response cut short", []string{"-v", "-n", url + "/cut-chunked"}, `RST_STREAM`},
		{"no fields of connections", []string{"-v", "-n", url + "/page"}, `:status: 200`},
	} {
		out, err := lab.Output(ctx, s.Dir, append([]string{"nghttp", "--no-verify-peer", "-t", "10"}, c.args...)...)
		if err != nil {
			out += err.Error()
		}
		out = plain(out)
		_, recv, _ := strings.Cut(out, "recv (stream_id")
		got := "not there"
		if strings.Contains(out, c.want) && !regexp.MustCompile(`(?m)recv .*\) (connection|keep-alive|transfer-encoding):`).MatchString(out) {
			got = c.want
		} else if recv != "" {
			got = recv
		}
		s.check("nghttp", c.check, c.want, got)
	}
	out, err = lab.Output(ctx, s.Dir, "h2load", "-n", "2000", "-c", "20", "-m", "50", url+"/page")
	if err != nil {
		return err
	}
	s.check("nghttp", "h2load: 2000 requests, 50 streams on each of 20 connections", "2000 succeeded, 0 failed", last(out, `(\d+ succeeded, \d+ failed)`))
	return nil
}

// testssl takes what is above LOW for a fault, but for what is known.
func (s *suite) testssl(ctx context.Context) error {
	r, stop, err := s.startTLS("testssl")
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	report := filepath.Join(s.Dir, "testssl.json")
	// It looks up "invalid." for every curve, to see what its openssl knows.
	_, runErr := lab.Output(ctx, s.Dir, "env", "RES_OPTIONS=timeout:1 attempts:1", "testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--fast", "--ids-friendly",
		"--add-ca", filepath.Join(s.Dir, "tls/ca.pem"), "-p", "-f", "-S", "--jsonfile", report, "https://"+r.TLS)
	b, err := os.ReadFile(report)
	if err != nil {
		return fmt.Errorf("%w: %w", runErr, err)
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(b, &findings); err != nil {
		return fmt.Errorf("%w: %w", runErr, err)
	}
	// The lab's certificate is of a CA that nobody trusts, and names no one to ask
	// about its revocation.
	accepted := []string{"cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL", "cert_chain_of_trust", "cert_trust", "DNS_CAArecord", "engine_problem"}
	var bad []string
	versions := map[string]string{}
	for _, f := range findings {
		id, _, _ := strings.Cut(f.ID, " ")
		switch f.ID {
		case "SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3":
			versions[f.ID] = f.Finding
		}
		if slices.Contains([]string{"MEDIUM", "HIGH", "CRITICAL", "FATAL"}, f.Severity) && !slices.Contains(accepted, id) {
			bad = append(bad, f.ID+": "+f.Finding)
		}
	}
	s.note("testssl.sh", "findings above LOW", "none", fmt.Sprintf("%d of %d: %s", len(bad), len(findings), strings.Join(bad, "; ")), len(findings) > 20 && len(bad) == 0)
	for _, v := range []struct{ id, want string }{{"SSLv2", "not"}, {"SSLv3", "not"}, {"TLS1", "not"}, {"TLS1_1", "not"}, {"TLS1_2", "offered"}, {"TLS1_3", "offered"}} {
		got := "offered"
		if strings.HasPrefix(versions[v.id], "not") || versions[v.id] == "" {
			got = "not"
		}
		s.check("testssl.sh", v.id, v.want, got)
	}
	return nil
}
