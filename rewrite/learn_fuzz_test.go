package rewrite_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/seed14307185/refract/rewrite"
)

// learnPlan has an operation that learned pages are for on each name.
func learnPlan(rnd *rand.Rand) rewrite.Plan {
	operations := slices.DeleteFunc(slices.Clone(supported), func(o rewrite.Operation) bool { return o == rewrite.Shadow || o == rewrite.Auto })
	plan := rewrite.Plan{MaxRegion: []int{0, 64, 3000}[rnd.IntN(3)]}
	for _, name := range []string{"x0", "x1", "x2", "x"}[:1+rnd.IntN(4)] {
		s := surfaceFor(operations[rnd.IntN(len(operations))], name, fragments[rnd.IntN(len(fragments))])
		s.Replace = rnd.IntN(4) > 0
		plan.Surfaces = append(plan.Surfaces, s)
	}
	return plan
}

// between is plain text or elements of up to a few KB, so that pages made of
// small pieces have places to be taken up at.
func between(rnd *rand.Rand) []byte {
	line := []string{"<p>some <b>more</b> words", "<div class=\"a b\"><i>1</i></div>\n", "text alone ", "<tr><td>1<td>2", "<li><a href=x>y</a>", "</div></p>"}[rnd.IntN(6)]
	return bytes.Repeat([]byte(line), rnd.IntN(1+rnd.IntN(4)*(1500/len(line))))
}

// edited changes a page in one to three places, often in a marked tag, and puts
// pieces of other in.
func edited(rnd *rand.Rand, page, other []byte) []byte {
	page = bytes.Clone(page)
	for range 1 + rnd.IntN(3) {
		i := rnd.IntN(len(page) + 1)
		if k := bytes.Index(page[i:], []byte(rewrite.DefaultAttribute)); k >= 0 && rnd.IntN(2) == 0 {
			i = min(i+max(k-4, 0)+rnd.IntN(30), len(page))
		}
		n := rnd.IntN(min(len(page)-i, 40) + 1)
		from := rnd.IntN(len(other) + 1)
		piece := other[from : from+rnd.IntN(len(other)-from+1)]
		switch rnd.IntN(4) {
		case 0: // as many bytes
			copy(page[i:], piece)
		case 1:
			page = slices.Replace(page, i, i+n, piece...)
		case 2:
			page = slices.Insert(page, i, other...)
		case 3:
			page = page[:max(i, len(page)/2)]
		}
	}
	return page
}

// FuzzLearn: with a memory and without one, whatever pages it has seen, however
// they and this one come and end, the outcome is the same.
func FuzzLearn(f *testing.F) {
	for i, c := range pages {
		f.Add([]byte(c.page), []byte("<p data-surface=x1>"+c.page), []byte("<div data-surface=x>a</div>"), uint64(i))
	}
	for i, c := range textModes {
		f.Add([]byte("<!doctype html><body>"), []byte(c.markup), []byte("<div data-surface=x0>"+c.markup+"</div>"), uint64(i))
	}
	broken := errors.New("broken")
	f.Fuzz(func(t *testing.T, head, middle, other []byte, seed uint64) {
		if len(head)+len(middle)+len(other) > 20000 {
			return
		}
		rnd := rand.New(rand.NewPCG(seed, 0))
		plan := learnPlan(rnd)
		program, err := rewrite.Compile(plan)
		if err != nil {
			t.Fatal(err)
		}
		contentType := []string{inUTF8, "text/html", "text/html; charset=windows-1252", "text/html; charset=shift_jis"}[rnd.IntN(4)]
		base := slices.Concat(head, between(rnd), middle, between(rnd), other, between(rnd))
		memory := rewrite.NewMemory(1 << 20)
		for visit := range 6 {
			page := base
			if rnd.IntN(3) > 0 {
				page = edited(rnd, base, slices.Concat(other, middle))
			}
			ends := rnd.IntN(8) // 0: by an error, 1: nobody reads on
			size := []int{0, 0, 1 + rnd.IntN(40), 1 + rnd.IntN(40), 300, 5000, len(page) + 1}[rnd.IntN(7)]
			some := int64(rnd.IntN(len(page) + 1))
			outcome := func(learn bool, size int) string {
				var src io.Reader = bytes.NewReader(page)
				if ends == 0 {
					src = io.MultiReader(bytes.NewReader(page[:some]), iotest.ErrReader(broken))
				}
				r := program.NewReader(chunked{src, size, rnd}, contentType)
				defer r.Close()
				if learn {
					r.Learn(memory, "/", contentType)
				}
				if ends == 1 && learn {
					_, err := io.CopyN(io.Discard, r, some)
					return fmt.Sprint(err == nil || err == io.EOF)
				}
				out, err := io.ReadAll(r)
				if r.Fault() != nil {
					t.Fatal(r.Fault())
				}
				return fmt.Sprintf("%s\n%v %+v", out, err, r.Sightings())
			}
			want := outcome(false, len(page)+1)
			if got := outcome(true, size); ends != 1 && got != want {
				k := 0
				for k < min(len(got), len(want)) && got[k] == want[k] {
					k++
				}
				t.Fatalf("visit %d, pieces of %d, %d bytes: at %d\nwant %.300q\n got %.300q\nplan %+v\nwant %s\n got %s", visit, size, len(page), k,
					want[max(0, k-50):], got[max(0, k-50):], plan, want[max(0, len(want)-300):], got[max(0, len(got)-300):])
			}
		}
	})
}
