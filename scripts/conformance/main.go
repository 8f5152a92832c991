// Conformance has programs that nobody here wrote judge refract: h2spec,
// slowhttptest, toxiproxy, go-httpbin, curl, nghttp and testssl.sh, all on
// loopback. It prints one table and exits 1 if a check fails.
// scripts/conformance.sh says where the programs are.
package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed14307185/refract/scripts/lab"
)

// suite is the Lab, where the programs are, and what the checks came to.
type suite struct {
	*lab.Lab
	refract string // the binary
	tools   string // the directory of h2spec, toxiproxy's server and go-httpbin
	bare    bool   // what needs TLS is tried on Go's own server: see startTLS
	results []result
}

// result is one line of the table.
type result struct {
	group, check, expected, got string
	ok                          bool
}

// check notes one result: a check passes if got is what was expected.
func (s *suite) check(group, check, expected, got string) {
	s.note(group, check, expected, got, got == expected)
}

func (s *suite) note(group, check, expected, got string, ok bool) {
	s.results = append(s.results, result{group, check, expected, got, ok})
	verdict := "ok"
	if !ok {
		verdict = "FAIL"
	}
	cell := func(s string) string {
		s = strings.Join(strings.Fields(s), " ")
		if len(s) > 200 {
			s = s[:200] + "…"
		}
		return strings.ReplaceAll(s, "|", "\\|")
	}
	fmt.Printf("| %s | %s | %s | %s | %s |\n", group, cell(check), cell(expected), cell(got), verdict)
}

func main() {
	s := &suite{}
	flag.StringVar(&s.refract, "refract", "", "the binary")
	flag.StringVar(&s.tools, "tools", "", "the directory of h2spec, server (toxiproxy's) and go-httpbin")
	only := flag.String("only", "", "the groups that are run, separated by commas; empty: all")
	flag.BoolVar(&s.bare, "baseline", false, "try what needs TLS on Go's own server in place of refract")
	flag.Parse()
	failed := 0
	err := lab.Run(func(ctx context.Context, l *lab.Lab) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
		defer cancel()
		s.Lab = l
		fmt.Println("| with | check | expected | got | verdict |\n|---|---|---|---|---|")
		for _, g := range []struct {
			name string
			run  func(context.Context) error
		}{
			{"httputil", s.httputil},
			{"curl", s.http1},
			{"nghttp", s.nghttp},
			{"go-httpbin", s.httpbin},
			{"toxiproxy", s.toxics},
			{"slowhttptest", s.slow},
			{"h2spec", s.h2spec},
			{"testssl.sh", s.testssl},
		} {
			if *only != "" && !strings.Contains(","+*only+",", ","+g.name+",") {
				continue
			}
			if err := g.run(ctx); err != nil {
				s.check(g.name, "it can be run", "yes", err.Error())
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		for _, r := range s.results {
			if !r.ok {
				failed++
			}
		}
		fmt.Printf("\n%d checks, %d failed\n", len(s.results), failed)
		return nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

// httputil sees that the tests are there that docs/conformance.md sets beside
// those of httputil. The working directory is that of the repository.
func (s *suite) httputil(context.Context) error {
	doc, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		return err
	}
	var tests strings.Builder
	for _, room := range []string{"proxy", "cmd/refract"} {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			tests.Write(b)
			return err
		})
		if err != nil {
			return err
		}
	}
	named := 0
	var missing []string
	for line := range strings.Lines(string(doc)) {
		if !strings.HasPrefix(line, "| Test") {
			continue
		}
		for name := range strings.SplitSeq(strings.TrimSpace(strings.Split(line, "|")[2]), ", ") {
			if named++; !strings.Contains(tests.String(), "\nfunc "+name+"(") {
				missing = append(missing, name)
			}
		}
	}
	s.note("httputil", "our tests beside its own", "all are there", fmt.Sprintf("%d named, missing: %s", named, strings.Join(missing, ", ")), named > 10 && len(missing) == 0)
	return nil
}
