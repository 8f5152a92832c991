package rewrite_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

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

// html5lib gives the inputs of the tree construction suite as they ship with
// x/net.
func html5lib(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var inputs []string
	root := filepath.Join(strings.TrimSpace(string(out)), "html", "testdata")
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".dat" {
			return err
		}
		b, err := os.ReadFile(path)
		for test := range strings.SplitSeq("\n"+string(b), "\n#data\n") {
			if input, _, ok := strings.Cut(test, "\n#errors\n"); ok {
				inputs = append(inputs, input)
			}
		}
		return err
	})
	if err != nil || len(inputs) < 1000 {
		t.Fatalf("x/net comes without the html5lib inputs: %d below %s, %v", len(inputs), root, err)
	}
	return inputs
}

// bailouts counts what became of regions.
type bailouts struct {
	regions int
	reasons map[rewrite.Reason]int // of those untouched
}

func (c *bailouts) add(saw []rewrite.Sighting) {
	if c.reasons == nil {
		c.reasons = map[rewrite.Reason]int{}
	}
	for _, s := range saw {
		if s.State == rewrite.Missing {
			continue
		}
		c.regions++
		if s.State == rewrite.Untouched {
			c.reasons[s.Reason]++
		}
	}
}

func (c *bailouts) String() string {
	left := 0
	for _, n := range c.reasons {
		left += n
	}
	s := fmt.Sprintf("%5d regions, %4.1f %% left alone:", c.regions, share(left, c.regions))
	for _, reason := range slices.SortedFunc(maps.Keys(c.reasons), func(a, b rewrite.Reason) int { return c.reasons[b] - c.reasons[a] }) {
		s += fmt.Sprintf(" %s %.1f", reason, share(c.reasons[reason], c.regions))
	}
	return s
}

func share(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// No hostile input makes a wrong splice, in any setting, by any operation. In
// the first setting each operation has each input; in the others they take
// turns, and with -short there is only the first, with every fourth input.
func TestHostilePages(t *testing.T) {
	inputs := html5lib(t)
	bySetting := make([]bailouts, len(settings))
	byOperation := map[rewrite.Operation]*bailouts{}
	wrong := 0
	try := func(setting int, input, content string, operation rewrite.Operation) {
		page, names := numbered(strings.Replace(settings[setting], "%s", input, 1))
		plan := planOf(operation, content, names...)
		saw, err := check(page, plan)
		if err != nil {
			if wrong++; wrong <= 20 {
				t.Errorf("%s: %v", operation, err)
			}
			return
		}
		bySetting[setting].add(saw)
		if byOperation[operation] == nil {
			byOperation[operation] = &bailouts{}
		}
		byOperation[operation].add(saw)
	}
	for i, input := range inputs {
		if testing.Short() && i%4 != 0 {
			continue
		}
		content := fragments[i%len(fragments)]
		for _, operation := range supported {
			try(0, input, content, operation)
		}
		for j := 1; j < len(settings) && !testing.Short(); j++ {
			try(j, input, fragments[(i+j)%len(fragments)], supported[(i+j)%len(supported)])
		}
	}
	if wrong > 0 {
		t.Errorf("%d wrong", wrong)
	}
	for i, c := range bySetting {
		if c.regions > 0 {
			t.Logf("%s  %q", &c, settings[i])
		}
	}
	for _, operation := range supported {
		t.Logf("%s  %s", byOperation[operation], operation)
	}
}
