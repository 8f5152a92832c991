package rewrite_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed14307185/refract/rewrite"
)

// A panic of the engine, wherever it is, loses no byte, and the rest follows.
func TestFaultLosesNothing(t *testing.T) {
	const page = "\ufeff<body><p data-surface=a>x</p><!-- c --><div data-surface=b><p>x</p></div><script>x</script>tail"
	faults := 0
	for at := range 40 {
		for _, src := range []io.Reader{strings.NewReader(page), iotest.OneByteReader(strings.NewReader(page))} {
			r := newReader(t, src, inUTF8, observing(planFor("", "a", "b", "c")))
			r.BreakAfter(at)
			got, err := io.ReadAll(r)
			if string(got) != page || err != nil {
				t.Fatalf("fault at step %d: got %q, %v, fault %v", at, got, err, r.Fault())
			}
			if r.Fault() == nil {
				r.Close()
				continue // it had finished by then
			}
			faults++
			if s := r.Sightings()[2]; s.State != rewrite.Untouched || s.Reason != rewrite.Internal {
				t.Fatalf("fault at step %d: %+v", at, r.Sightings())
			}
			r.Close()

			// The next page, perhaps in the same memory, knows nothing of it.
			if got, saw := rewriteOnce(t, strings.NewReader(page), inUTF8, planFor("y", "a", "b", "c")); saw[0].State != rewrite.Swappable ||
				!strings.Contains(got, "<p data-surface=a>y</p>") {
				t.Fatalf("after a fault at step %d: %q, %+v", at, got, saw)
			}
		}
	}
	if faults < 10 {
		t.Errorf("only %d faults: this shows nothing", faults)
	}
}

// A page that is left half read gives nothing of itself to the next one.
func TestCloseHalfway(t *testing.T) {
	const page = "<!doctype html><body><p>a</p><div data-surface=x0><ul><li>old</ul></div><table><tr><td><script>x</script><div data-surface=x1>old</div></table>"
	program := mustCompile(t, planFor("new", "x0", "x1"))
	want, saw := rewriteOnce(t, strings.NewReader(page), inUTF8, planFor("new", "x0", "x1"))
	for at := range len(page) {
		for _, end := range []io.Reader{strings.NewReader(""), iotest.ErrReader(errors.New("broken"))} {
			r := program.NewReader(io.MultiReader(iotest.OneByteReader(strings.NewReader(page[:at])), end), "text/html; charset=windows-1252")
			_, _ = io.CopyN(io.Discard, r, int64(at))
			r.Close()
			got, gotSaw, err := rewriteBy(program, strings.NewReader(page), inUTF8, drainWhole)
			if got != want || told(gotSaw) != told(saw) || err != nil {
				t.Fatalf("after %q: got %q, %+v, %v", page[:at], got, gotSaw, err)
			}
		}
	}
}
