package rewrite_test

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/internal/first"
)

// The first engine, slow and careful, is an oracle of its own: what it swaps
// this one swaps too and in the same way, or has a reason not to.

// compareWithFirst rewrites a page by both. careful counts, by reason, what
// only the first one swaps, and bold what only this one does, by the reason of
// the first. The page must not use a name twice.
func compareWithFirst(page, contentType, content string, names []string, careful map[rewrite.Reason]int, bold map[first.Reason]int) error {
	content = newlines.Replace(content) // the first one put it in as it was
	_, saw, err := rewriteAllWays(page, contentType, planFor(content, names...))
	if err != nil {
		return err
	}
	_, firstSaw, err := rewriteFirst(page, contentType, content, names, nil)
	if err != nil {
		return err
	}
	both := map[string]bool{}
	for i, s := range saw {
		f := firstSaw[i]
		switch was, is := f.State == first.Swappable, s.State == rewrite.Swappable; {
		case was && is:
			both[s.Name] = true
		case was && s.State == rewrite.Missing:
			return fmt.Errorf("%q is missed\npage %q", s.Name, page)
		case was:
			careful[s.Reason]++
		case is:
			bold[f.Reason]++
		}
	}
	plan := planFor(content, names...)
	for i := range plan.Surfaces {
		plan.Surfaces[i].Replace = both[names[i]]
	}
	got, _, err := rewriteAllWays(page, contentType, plan)
	if err != nil {
		return err
	}
	want, _, err := rewriteFirst(page, contentType, content, names, both)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the engines differ\npage  %q\nfirst %q %v\nthis  %q %v", page, want, firstSaw, got, saw)
	}
	return nil
}

func rewriteFirst(page, contentType, content string, names []string, replace map[string]bool) (string, []first.Sighting, error) {
	plan := first.Plan{ContentType: contentType}
	for _, name := range names {
		plan.Surfaces = append(plan.Surfaces, first.Surface{Name: name, Replace: replace[name], HTML: []byte(content)})
	}
	r := first.NewReader(strings.NewReader(page), plan)
	got, err := io.ReadAll(r)
	return string(got), r.Sightings(), cmp.Or(err, r.Fault())
}

func TestLikeTheFirstEngine(t *testing.T) {
	t.Logf("-seed %d", seed())
	careful, bold := map[rewrite.Reason]int{}, map[first.Reason]int{}
	compared := 0
	try := func(page, content string) {
		page, names := numbered(page)
		if len(names) == 0 {
			return
		}
		compared += len(names)
		if err := compareWithFirst(page, inUTF8, content, names, careful, bold); err != nil {
			t.Fatal(err)
		}
	}
	for i := range soups(t) / 2 {
		s, page := soupPage(i + 1<<32)
		try(page, fragments[s.IntN(len(fragments))])
	}
	for i := range soups(t) / 20 {
		rnd := rand.New(rand.NewPCG(seed(), i+1<<33))
		try(mutate(rnd, servedPage), fragments[rnd.IntN(len(fragments))])
	}
	for i, c := range pages {
		try(strings.ReplaceAll(c.page, "x0", "x"), fragments[i%len(fragments)])
	}
	for _, c := range textModes {
		try("<!doctype html><body><div data-surface=x>"+c.markup+"</div>", "new")
		try("<!doctype html><body>"+c.markup+"<div data-surface=x>old</div>", "new")
	}
	for _, input := range html5lib(t) {
		try(strings.Replace(settings[0], "%s", input, 1), "new")
	}
	t.Logf("%d regions; only the first engine swaps, by the reason against: %v", compared, careful)
	t.Logf("only this one swaps, by the first one's reason: %v", bold)
	reasons := declaredReasons(t)
	for _, reason := range slices.Sorted(maps.Keys(careful)) {
		if !slices.Contains(reasons, reason) {
			t.Errorf("%q is no reason", reason)
		}
	}
}
