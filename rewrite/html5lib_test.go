package rewrite_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

var fragments = []string{
	"",
	"new",
	"<p>new <b>and</b> <a href=#>more</a>",
	"<h2>new</h2><ul><li>one<li>two</ul><img src=x>",
	"<form><label><input></label><button>go</button></form>",
	"<table><tr><td>1<td>2</table>",
	"<svg viewBox='0 0 1 1'><title>x</title><path d='M0'/></svg><select><option>1<option>2</select>",
	"<style>a > b {}</style><li>new</li>",
}

// settings put a hostile input before, into and around a region.
var settings = []string{
	"<!doctype html><body><div data-surface=x>%s</div>tail",
	"<div data-surface=x>%s</div><i>tail</i>",
	"%s<div data-surface=x>old</div>tail",
	"%s<p data-surface=x>old</p></b></a>tail",
	"<body><section>%s<ul><li data-surface=x>old<b>er</b></li><li>tail</ul></section>",
	"<table><tr><td>%s<div data-surface=x><p>old</div>tail",
	"<body>%s<div data-surface=x>old</div><form>tail</form><table></table><frameset>",
	"<p><b><a>%s<h3 data-surface=x>old</h3>tail",
	"<body><div data-surface=x>old</div>%s",
	"<div data-surface=x>old</div>%s",
	"<body><dl><dt data-surface=x>%s</dt><dd>tail",
}

// TestHostilePages takes the inputs of the html5lib tree construction suite as
// they ship with x/net.
func TestHostilePages(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	var inputs []string
	root := filepath.Join(strings.TrimSpace(string(out)), "html", "testdata")
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".dat" {
			return err
		}
		b, err := os.ReadFile(path)
		for test := range strings.SplitSeq(string(b), "#data\n") {
			if input, _, ok := strings.Cut(test, "\n#errors\n"); ok {
				inputs = append(inputs, input)
			}
		}
		return err
	})
	if err != nil || len(inputs) < 1000 {
		t.Skipf("x/net comes without the html5lib inputs: %d below %s, %v", len(inputs), root, err)
	}
	inside := map[rewrite.Reason]int{}
	regions, swapped := 0, 0
	for i, input := range inputs {
		for j, setting := range settings {
			if j > 0 && testing.Short() {
				continue
			}
			page, names := numbered(strings.Replace(setting, "%s", input, 1))
			saw := verify(t, page, planFor(fragments[(i+j)%len(fragments)], names...))
			for _, s := range saw {
				regions++
				if s.State == rewrite.Swappable {
					swapped++
				}
			}
			if j == 0 {
				inside[saw[0].Reason]++
			}
		}
	}
	t.Logf("%d inputs in %d settings: %d of %d regions swapped, none wrong", len(inputs), len(settings), swapped, regions)
	t.Logf("as the content of a div: %.1f %% left alone, by reason: %v", 100*float64(len(inputs)-inside[""])/float64(len(inputs)), inside)
}
