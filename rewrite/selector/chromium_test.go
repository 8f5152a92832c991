package selector_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	dom "golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite/selector"
)

var chromium = flag.String("chromium", "", "path of the Chromium by which testdata/chromium.txtar is written anew")

const notASelector = "not a selector"

// refused are those that a browser takes and we don't, each with a reason in
// doc.go or an error of its own in errors.golden.
var refused = map[string]bool{
	":is(ul li, p)":             true,
	":is()":                     true,
	"ul > :nth-child(2n of .x)": true,
	"li:nth-child(\\6f dd)":     true, // no escapes and comments within a count
	"li:nth-child(2/**/)":       true,
	"p:nth-child(99999999999)":  true,
	"[data-x=\"a":               true,
	":not(.card":                true,
	"div\\":                     true,
	"*|div":                     true,
	"|div":                      true,
	"[*|lang]":                  true,
}

func TestChromium(t *testing.T) {
	const name = "testdata/chromium.txtar"
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	page, lines := string(a.Files[0].Data), strings.Split(strings.TrimSpace(string(a.Files[1].Data)), "\n")
	for i, line := range lines {
		quoted, found, _ := strings.Cut(line, "\t")
		s, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if *chromium != "" {
			lines[i] = quoted // asked for below
			continue
		}
		standard, quirks, _ := strings.Cut(found, "\t")
		if got := find(t, page, s, false); got != standard && !refused[s] {
			t.Errorf("%s: got %s, Chromium says %s", quoted, got, standard)
		}
		if got := find(t, withoutDoctype(page), s, true); got != quirks && !refused[s] {
			t.Errorf("%s: got %s in quirks mode, Chromium says %s", quoted, got, quirks)
		}
		if refused[s] && (standard == notASelector || find(t, page, s, false) != notASelector) {
			t.Errorf("%s is not refused", quoted)
		}
	}
	if *chromium != "" {
		a.Files[1].Data = []byte(strings.Join(ask(t, page, lines), "\n") + "\n")
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func withoutDoctype(page string) string { return strings.TrimPrefix(page, "<!doctype html>") }

// find returns the places of the elements of a page that match.
func find(t *testing.T, page, s string, quirks bool) string {
	sel, err := selector.Parse(s)
	if err != nil {
		return notASelector
	}
	m := selector.NewMatcher([]*selector.Selector{sel})
	m.Quirks = quirks
	root, err := dom.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	places, place := []int{}, 0
	walk(m, root, 0, func(_ *dom.Node, set uint64) {
		if set != 0 {
			places = append(places, place)
		}
		place++
	})
	return fmt.Sprint(places)
}

// ask lets Chromium complete the lines.
func ask(t *testing.T, page string, lines []string) []string {
	input, err := json.Marshal(map[string]any{
		"pages": []string{page, withoutDoctype(page)}, "selectors": json.RawMessage("[" + strings.Join(lines, ",") + "]"), "not": notASelector})
	if err != nil {
		t.Fatal(err) // a Go string that is none in JSON
	}
	file := filepath.Join(t.TempDir(), "ask.html")
	script := `<!doctype html><meta charset=utf-8><body><script>
const {pages, selectors, not} = JSON.parse(decodeURIComponent("` + strings.ReplaceAll(url.QueryEscape(string(input)), "+", "%20") + `"));
const documents = pages.map(p => new DOMParser().parseFromString(p, "text/html"));
document.body.textContent = "answer:" + JSON.stringify(selectors.map(s => documents.map(d => {
	const all = [...d.querySelectorAll("*")];
	try { return "[" + [...d.querySelectorAll(s)].map(e => all.indexOf(e)).join(" ") + "]" } catch { return not }
}))) + ":answer";
</script>`
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), *chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--dump-dom", "file://"+file).Output()
	if err != nil {
		t.Fatal(err)
	}
	_, answer, _ := strings.Cut(string(out), "answer:")
	answer, _, _ = strings.Cut(answer, ":answer")
	var found [][2]string
	if err := json.Unmarshal([]byte(html.UnescapeString(answer)), &found); err != nil || len(found) != len(lines) {
		t.Fatalf("%v in %s", err, out)
	}
	for i, f := range found {
		lines[i] += "\t" + f[0] + "\t" + f[1]
	}
	return lines
}
