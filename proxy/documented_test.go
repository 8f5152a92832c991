package proxy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedTests: docs/http.md says of each case which test shows it, and
// those tests are there.
func TestDocumentedTests(t *testing.T) {
	text, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	// Where a case is dealt with, without a test's name.
	elsewhere := map[string]bool{"proxy/front": true, "proxy/origin": true, "certs": true}
	known := map[string]map[string]bool{}
	word := regexp.MustCompile("`([a-z/]+)`|([A-Za-z0-9_]+)")
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[len(cells)-2]) == "tests" {
			continue
		}
		if rows++; len(cells) != 5 {
			t.Errorf("a row has %d cells: %s", len(cells)-2, line)
			continue
		}
		room, shown := "", false
		for _, m := range word.FindAllStringSubmatch(cells[3], -1) {
			if m[1] != "" {
				room = m[1]
				shown = shown || elsewhere[room]
				if known[room] == nil {
					known[room] = testsOf(t, room)
				}
				continue
			}
			shown = true
			if !known[room][m[2]] {
				t.Errorf("%q has no test %s, which is to show:%s", room, m[2], cells[1])
			}
		}
		if !shown {
			t.Errorf("no test shows:%s", cells[1])
		}
	}
	if rows < 70 {
		t.Errorf("only %d cases were read", rows)
	}
}

// testsOf lists the tests of a package.
func testsOf(t *testing.T, room string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	files, err := filepath.Glob(filepath.Join("..", room, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}
