package rewrite_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/internal/first"
)

// The seeds are the pages of the tables; what was found once is in testdata.

// FuzzIdentity: where nothing is changed the output is the input, for any bytes
// in any chunks. The surfaces x are only looked for, y is on no page.
func FuzzIdentity(f *testing.F) {
	for _, c := range pages {
		f.Add([]byte(c.page), uint64(len(c.page)), "")
	}
	for _, c := range textModes {
		f.Add([]byte(c.markup+"<p data-surface=x0>old</p>"), uint64(1), inUTF8)
	}
	f.Add([]byte("\xff\xfe<\x00"), uint64(1), "")
	f.Add([]byte("\xef\xbb"), uint64(1), "charset=\x00")
	f.Fuzz(func(t *testing.T, page []byte, seed uint64, contentType string) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		plan := rewrite.Plan{MaxRegion: 64, Surfaces: []rewrite.Surface{{Name: "x"}, {Name: "x0", HTML: []byte("<p>é")}, {Name: "y", Replace: true}}}
		for i := range plan.Surfaces {
			plan.Surfaces[i].Operation = supported[rnd.IntN(len(supported))]
			plan.Surfaces[i].Attributes = surfaceFor(plan.Surfaces[i].Operation, "", "a").Attributes
		}
		program := mustCompile(t, plan)
		for _, all := range []drain{drainWhole, drainCopy, drainTiny(rnd)} {
			got, saw, err := rewriteBy(program, chunked{bytes.NewReader(page), 0, rnd}, contentType, all)
			if err != nil {
				t.Fatal(err)
			}
			if y := saw[2]; y.State != rewrite.Swappable && got != string(page) {
				t.Fatalf("seed %d: was %q\nnow %q\nsaw %+v", seed, page, got, saw)
			}
		}
	})
}

// FuzzSwap: what is swapped is swapped as in the tree, and what isn't swapped
// isn't changed.
func FuzzSwap(f *testing.F) {
	for i, c := range pages {
		f.Add(strings.ReplaceAll(c.page, "x0", "x"), fragments[i%len(fragments)])
	}
	for i := range uint64(200) {
		s := &soup{Rand: rand.New(rand.NewPCG(i, 1)), wild: 0.1}
		s.write(4)
		f.Add(s.b.String(), fragments[i%uint64(len(fragments))])
	}
	f.Fuzz(func(t *testing.T, page, fragment string) {
		page, names := numbered(page)
		if len(names) == 0 || len(names) > 20 {
			return
		}
		if _, err := rewrite.Compile(planFor(fragment, names...)); err != nil {
			return
		}
		verify(t, page, planFor(fragment, names...))
		if err := compareWithFirst(page, inUTF8, fragment, names, map[rewrite.Reason]int{}, map[first.Reason]int{}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOperations: the same for each operation and mixtures of them.
func FuzzOperations(f *testing.F) {
	for i, c := range delicate {
		f.Add(strings.ReplaceAll(c.page, "x0", "x"), c.content, uint64(i))
	}
	for i, c := range operations {
		f.Add(strings.ReplaceAll(c.page, "x0", "x"), c.content, uint64(i))
	}
	for i := range uint64(20) {
		f.Add(mutate(rand.New(rand.NewPCG(i, 2)), servedPage), fragments[i%uint64(len(fragments))], i)
	}
	f.Fuzz(func(t *testing.T, page, content string, seed uint64) {
		page, names := numbered(page)
		if len(names) == 0 || len(names) > 20 || strings.Contains(strings.ToLower(content), "surface") {
			return
		}
		plan := mixedPlan(rand.New(rand.NewPCG(seed, 0)), names...)
		for i, s := range plan.Surfaces {
			replaced := surfaceFor(s.Operation, s.Name, content)
			if s.Operation == rewrite.Text || s.Operation == rewrite.Attr {
				replaced = surfaceFor(s.Operation, s.Name, strings.ToValidUTF8(strings.ReplaceAll(content, "\x00", ""), ""))
			}
			plan.Surfaces[i] = replaced
		}
		if _, err := rewrite.Compile(plan); err != nil {
			return
		}
		verify(t, page, plan)
	})
}

// FuzzArms: whatever a page is, both arms see the same, and control leaves it
// as it is; with any names, any limit and any charset.
func FuzzArms(f *testing.F) {
	for i, c := range pages {
		f.Add(c.page, "x0", "x1", fragments[i%len(fragments)], "text/html", 64)
	}
	f.Fuzz(func(t *testing.T, page, name1, name2, fragment, contentType string, limit int) {
		for i, operation := range supported {
			plan := planOf(operation, fragment, name1, name2)
			plan.Surfaces[1] = surfaceFor(supported[(i+len(page))%len(supported)], name2, fragment)
			plan.MaxRegion = limit
			program, err := rewrite.Compile(plan)
			if err != nil {
				continue
			}
			treated, saw, err := rewriteBy(program, strings.NewReader(page), contentType, drainWhole)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkControl(page, contentType, plan, saw); err != nil {
				t.Fatal(err)
			}
			if treated != page && saw[0].State != rewrite.Swappable && saw[1].State != rewrite.Swappable {
				t.Fatalf("changed without a sighting: %q to %q", page, treated)
			}
		}
	})
}

// FuzzChunks: however a page comes, and whatever it is, the outcome is one.
func FuzzChunks(f *testing.F) {
	for i, c := range pages {
		f.Add([]byte(c.page), fragments[i%len(fragments)], uint64(i), "", 0)
	}
	for i, c := range textModes {
		f.Add([]byte("<body><div data-surface=x0>"+c.markup+"</div><p data-surface=x1>"), "new", uint64(i), inUTF8, 16)
	}
	f.Fuzz(func(t *testing.T, page []byte, content string, seed uint64, contentType string, limit int) {
		plan := mixedPlan(rand.New(rand.NewPCG(seed, 0)), "x0", "x1", "x")
		plan.Surfaces[0] = surfaceFor(plan.Surfaces[0].Operation, "x0", content)
		plan.MaxRegion = limit
		if _, err := rewrite.Compile(plan); err != nil {
			return
		}
		if _, _, err := rewriteAllWays(string(page), contentType, plan); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzConserved: every byte beside a region comes out as it went in, for any
// bytes and any charset. The content is ASCII, which is itself in each charset
// for rewriting.
func FuzzConserved(f *testing.F) {
	for i, c := range pages {
		f.Add([]byte(c.page), "new", uint64(i), "text/html; charset=windows-1252")
	}
	for i, c := range delicate {
		f.Add([]byte(c.page), c.content, uint64(i), "")
	}
	f.Fuzz(func(t *testing.T, page []byte, content string, seed uint64, contentType string) {
		content = strings.Map(func(r rune) rune {
			if r == 0 || r >= 0x80 {
				return -1
			}
			return r
		}, content)
		rnd := rand.New(rand.NewPCG(seed, 0))
		var plan rewrite.Plan
		for _, name := range []string{"x0", "x1", "x"} {
			plan.Surfaces = append(plan.Surfaces, surfaceFor(supported[rnd.IntN(len(supported))], name, content))
		}
		program, err := rewrite.Compile(plan)
		if err != nil {
			return
		}
		got, saw, err := rewriteBy(program, chunked{bytes.NewReader(page), 0, rnd}, contentType, drainWhole)
		if err != nil {
			t.Fatal(err)
		}
		edits := editsMade(plan, saw)
		if len(edits) == 0 && got != string(page) {
			t.Fatalf("was %q\nnow %q\nsaw %+v", page, got, saw)
		}
		if err := conserved(string(page), got, edits); err != nil {
			t.Fatal(err)
		}
	})
}
