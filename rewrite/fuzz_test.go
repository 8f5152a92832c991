package rewrite_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// FuzzIdentity: where nothing is swapped nothing changes, for any bytes in any
// chunks. The surface x is only looked for, y is on no page.
func FuzzIdentity(f *testing.F) {
	for _, c := range pages {
		f.Add([]byte(c.page), uint64(len(c.page)), "")
	}
	f.Add([]byte("\xff\xfe<\x00"), uint64(1), "")
	f.Add([]byte("\xef\xbb"), uint64(1), "charset=\x00")
	f.Fuzz(func(t *testing.T, page []byte, seed uint64, contentType string) {
		plan := rewrite.Plan{ContentType: contentType, MaxRegion: 64, Surfaces: []rewrite.Surface{{Name: "x"}, {Name: "x0", HTML: []byte("<p>é")}, {Name: "y", Replace: true}}}
		r := rewrite.NewReader(chunked{bytes.NewReader(page), 0, rand.New(rand.NewPCG(seed, 0))}, plan)
		got, err := io.ReadAll(r)
		if err != nil || r.Fault() != nil {
			t.Fatal(err, r.Fault())
		}
		if y := r.Sightings()[2]; y.State != rewrite.Swappable && !bytes.Equal(got, page) {
			t.Fatalf("seed %d: was %q\nnow %q", seed, page, got)
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
		verify(t, page, planFor(fragment, names...))
	})
}

// FuzzArms: whatever a page is, both arms see the same, and control leaves it
// as it is; with any names, any limit and any charset.
func FuzzArms(f *testing.F) {
	for i, c := range pages {
		f.Add(c.page, "x0", "x1", fragments[i%len(fragments)], "text/html", 64)
	}
	f.Fuzz(func(t *testing.T, page, name1, name2, fragment, contentType string, limit int) {
		plan := planFor(fragment, name1, name2)
		plan.ContentType, plan.MaxRegion = contentType, limit
		treated, saw := rewriteOnce(t, strings.NewReader(page), plan)
		same, sawSame := rewriteOnce(t, strings.NewReader(page), observing(plan))
		if same != page {
			t.Fatalf("control changed %q to %q", page, same)
		}
		if fmt.Sprint(saw) != fmt.Sprint(sawSame) {
			t.Fatalf("treatment sees %v, control %v\npage %q", saw, sawSame, page)
		}
		if treated != page && saw[0].State != rewrite.Swappable && saw[1].State != rewrite.Swappable {
			t.Fatalf("changed without a sighting: %q to %q", page, treated)
		}
	})
}
