package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/html/charset"
)

// coded gives content in a content coding, by other code than the command's
// where the standard library has some.
func coded(name string, content []byte) ([]byte, error) {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch name {
	case "identity":
		return content, nil
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw-deflate":
		w, err = flate.NewWriter(&b, flate.DefaultCompression)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	default:
		err = fmt.Errorf("no coding %q", name)
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}

func uncoded(name string, b []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch name {
	case "identity":
		return b, nil
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(b))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(b))
	case "br":
		r = brotli.NewReader(bytes.NewReader(b))
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(b)); err == nil {
			defer d.Close()
			r = d
		}
	default:
		err = fmt.Errorf("no coding %q", name)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// encoded is "encoded CHARSET CODING FROM TO": a UTF-8 file put into a charset
// and a content coding.
func encoded(ts *testscript.TestScript, neg bool, args []string) {
	transform(ts, neg, args, func(label, code string, b []byte) ([]byte, error) {
		e, _ := charset.Lookup(label)
		b, err := e.NewEncoder().Bytes(b)
		if err != nil {
			return nil, err
		}
		return coded(code, b)
	})
}

// decoded is "decoded CHARSET CODING FROM TO", the way back.
func decoded(ts *testscript.TestScript, neg bool, args []string) {
	transform(ts, neg, args, func(label, code string, b []byte) ([]byte, error) {
		b, err := uncoded(code, b)
		if err != nil {
			return nil, err
		}
		e, _ := charset.Lookup(label)
		return e.NewDecoder().Bytes(b)
	})
}

func transform(ts *testscript.TestScript, neg bool, args []string, do func(label, code string, b []byte) ([]byte, error)) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: CHARSET CODING FROM TO")
	}
	b, err := do(args[0], args[1], []byte(ts.ReadFile(args[2])))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), b, 0o644))
}

// command runs refract in this process.
func command(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(stdin), &out, &errs, time.Now)
	return status, out.String(), errs.String()
}

const servedPage = `<!DOCTYPE html><title>Page</title>
<main>
<div data-surface="card">Прайс</div>
<table><tr><td>a</td></tr></table>
</main>
`

// Pages of a server, in every coding and three charsets.
func TestSurfacesOfURLs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		label, code := r.URL.Query().Get("charset"), r.URL.Query().Get("coding")
		switch r.URL.Path {
		case "/gone":
			http.NotFound(w, r)
			return
		case "/json":
			w.Header().Set("Content-Type", "application/json")
			return
		case "/moved":
			http.Redirect(w, r, "/page?"+r.URL.RawQuery, http.StatusFound)
			return
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
			return
		case "/elsewhere":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
			return
		case "/corrupt":
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, servedPage)
			return
		case "/huge":
			w.Header().Set("Content-Type", "text/html")
			for range maxPage/(64<<10) + 1 {
				w.Write(bytes.Repeat([]byte(" "), 64<<10))
			}
			return
		}
		if r.Header.Get("Accept") != "text/html" || !strings.Contains(r.Header.Get("Accept-Encoding"), strings.TrimPrefix(code, "raw-")) {
			http.Error(w, "not asked for", http.StatusNotAcceptable)
			return
		}
		e, _ := charset.Lookup(label)
		b, err := e.NewEncoder().Bytes([]byte(servedPage))
		if err == nil {
			b, err = coded(code, b)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset="+label)
		w.Header().Set("Content-Encoding", strings.TrimPrefix(code, "raw-"))
		w.Write(b)
	}))
	defer server.Close()
	for _, label := range []string{"utf-8", "windows-1251", "shift_jis"} {
		for _, code := range []string{"gzip", "br", "zstd", "deflate", "raw-deflate"} {
			status, out, errs := command(t, "", "surfaces", "--json", "--select", "td", server.URL+"/moved?charset="+label+"&coding="+code)
			var reports []pageReport
			if err := json.Unmarshal([]byte(out), &reports); err != nil || len(reports) != 1 || len(reports[0].Surfaces) != 2 {
				t.Fatalf("%s, %s: status %d, %v\n%s%s", label, code, status, err, out, errs)
			}
			r := reports[0]
			if r.Charset != label || r.Coding != strings.TrimPrefix(code, "raw-") || !strings.HasPrefix(r.Page, server.URL+"/page") {
				t.Errorf("%s, %s: %+v", label, code, r)
			}
			if s := r.Surfaces[0]; s.Name != "card" || s.Element != "div" || s.Line != 3 || s.Bytes != len("Прайс") || s.Count != 1 || !s.Safe {
				t.Errorf("%s, %s: %+v", label, code, s)
			}
		}
	}
	for path, want := range map[string]string{
		"/gone": "answers 404", "/json": "is application/json, not text/html", "/loop": "stopped after 10 redirects",
		"/elsewhere": "unsupported protocol scheme", "/corrupt": "not what the content coding says", "/huge": "has more than 33554432 bytes",
	} {
		status, out, errs := command(t, "", "surfaces", server.URL+path)
		if status != exitRefused || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: status %d, %s%s", path, status, out, errs)
		}
	}
}

// check --origin counts marks and what selectors match, and each rule's surface
// also where two rules share it.
func TestCheckOrigin(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<main><p>a</p><p>b</p></main><div data-surface="project-home.card">c</div><div data-surface="other">d</div>`)
	}))
	defer server.Close()
	dir := t.TempDir()
	if status, _, errs := command(t, "", "init", dir); status != exitOK {
		t.Fatal(errs)
	}
	rule, err := os.ReadFile(dir + "/rules/invite-teammate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"surfaces/lead.yaml": "select: main > p\n",
		"rules/second.yaml":  string(rule),
		"rules/third.yaml":   strings.Replace(string(rule), "project-home.card", "lead", 1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := command(t, "", "check", dir, "--origin", server.URL)
	for _, want := range []string{
		"surface project-home.card of rule invite-teammate: found 1 times", "surface project-home.card of rule second: found 1 times",
		"surface lead of rule third: found 2 times", "surface other: found 1 times, no rule uses it",
	} {
		if status != exitOK || !strings.Contains(out, want) {
			t.Errorf("status %d, want %q in\n%s%s", status, want, out, errs)
		}
	}
}

// Each reason that a region can be left alone for is told in words, to who
// marks it and to who runs the edge.
func TestReasonWords(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../rewrite/plan.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if of, ok := spec.Type.(*ast.Ident); ok && of.Name == "Reason" {
				value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons = append(reasons, value)
			}
		}
		return true
	})
	var told []string
	for reason, words := range reasonWords {
		if words != "" {
			told = append(told, string(reason))
		}
	}
	slices.Sort(reasons)
	slices.Sort(told)
	if len(reasons) < 10 || !slices.Equal(reasons, told) {
		t.Errorf("there are the reasons\n%v\nand words for\n%v", reasons, told)
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range reasons {
		if !strings.Contains(string(operations), "\n| `"+reason+"` | ") {
			t.Errorf("docs/operations.md has no row of %s", reason)
		}
	}
}
