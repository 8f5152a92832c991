package rewrite_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed14307185/refract/rewrite"
)

const inUTF8 = "text/html; charset=utf-8"

// seed is the same throughout a run.
func seed() uint64 { return rewrite.Seed() }

// randomFor gives the random numbers of one page.
func randomFor(page string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, page)
	return rand.New(rand.NewPCG(seed(), h.Sum64()))
}

// chunked reads n bytes at a time, or random numbers of bytes where n is 0.
type chunked struct {
	r   io.Reader
	n   int
	rnd *rand.Rand
}

func (c chunked) Read(p []byte) (int, error) {
	n := c.n
	if n == 0 {
		n = 1 + c.rnd.IntN(1<<c.rnd.IntN(13))
	}
	return c.r.Read(p[:min(n, len(p))])
}

// withoutCopy hides everything of a Reader but Read.
type withoutCopy struct{ io.Reader }

// A drain takes all that a Reader gives.
type drain func(*rewrite.Reader) ([]byte, error)

func drainWhole(r *rewrite.Reader) ([]byte, error) { return io.ReadAll(withoutCopy{r}) }

// drainCopy lets io.Copy choose how: by WriteTo, if there is one.
func drainCopy(r *rewrite.Reader) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, r)
	if err == nil && n != int64(b.Len()) {
		err = fmt.Errorf("io.Copy says %d bytes, and wrote %d", n, b.Len())
	}
	return b.Bytes(), err
}

// drainCounting has the whole page searched.
func drainCounting(r *rewrite.Reader) ([]byte, error) {
	r.CountAll()
	return drainCopy(r)
}

// drainTiny reads into buffers of no, one and few bytes.
func drainTiny(rnd *rand.Rand) drain {
	return func(r *rewrite.Reader) ([]byte, error) {
		var all []byte
		for idle := 0; idle < 1000; idle++ {
			p := make([]byte, rnd.IntN(4))
			n, err := r.Read(p)
			if all = append(all, p[:n]...); n > 0 {
				idle = 0
			}
			if err == io.EOF {
				return all, nil
			}
			if err != nil {
				return all, err
			}
		}
		return all, io.ErrNoProgress
	}
}

// rewriteBy reads one page and gives what came out and what was seen.
func rewriteBy(program *rewrite.Program, src io.Reader, contentType string, all drain) (string, []rewrite.Sighting, error) {
	r := program.NewReader(src, contentType)
	defer r.Close()
	got, err := all(r)
	if err == nil {
		err = r.Fault()
	}
	return string(got), slices.Clone(r.Sightings()), err
}

// rewriteAllWays rewrites a page whole, and then in chunks of all sizes and in
// random ones, read in several ways. The outcome must always be the same.
func rewriteAllWays(page, contentType string, plan rewrite.Plan) (string, []rewrite.Sighting, error) {
	program, err := rewrite.Compile(plan)
	if err != nil {
		return "", nil, fmt.Errorf("compiling %+v: %w", plan, err)
	}
	whole, saw, err := rewriteBy(program, strings.NewReader(page), contentType, drainWhole)
	if err != nil {
		return "", nil, fmt.Errorf("page %q: %w", page, err)
	}
	rnd := randomFor(page)
	for _, way := range []struct {
		chunk int
		all   drain
	}{
		{1, drainWhole}, {2, drainWhole}, {3, drainCopy}, {7, drainTiny(rnd)}, {64, drainWhole}, {4096, drainTiny(rnd)},
		{0, drainWhole}, {0, drainCopy}, {0, drainTiny(rnd)}, {len(page) + 1, drainCopy},
	} {
		src := io.Reader(chunked{strings.NewReader(page), way.chunk, rnd})
		if rnd.IntN(2) == 0 {
			src = iotest.DataErrReader(src) // the end comes with the last bytes
		}
		got, gotSaw, err := rewriteBy(program, src, contentType, way.all)
		if err != nil {
			return "", nil, fmt.Errorf("chunks of %d (-seed %d), page %q: %w", way.chunk, seed(), page, err)
		}
		if got != whole || !slices.Equal(gotSaw, saw) {
			return "", nil, fmt.Errorf("chunks of %d (-seed %d) differ\npage  %q\nwhole %q %v\ngot   %q %v", way.chunk, seed(), page, whole, saw, got, gotSaw)
		}
	}
	got, sawAll, err := rewriteBy(program, chunked{strings.NewReader(page), 0, rnd}, contentType, drainCounting)
	if err != nil || got != whole || !slices.EqualFunc(sawAll, saw, sameButCounted) {
		return "", nil, fmt.Errorf("counting all (-seed %d) differs: %v\npage  %q\nonce  %q %+v\nall   %q %+v", seed(), err, page, whole, saw, got, sawAll)
	}
	return whole, saw, nil
}

// sameButCounted says whether a sighting of a page that was searched to its end
// is that of one that may not have been.
func sameButCounted(all, some rewrite.Sighting) bool {
	ok := all.Count >= some.Count && (all.Whole || !some.Whole) && (all.Count == some.Count || !some.Whole)
	all.Count, all.Whole = some.Count, some.Whole
	return ok && all == some
}

func rewriteChunked(t testing.TB, page, contentType string, plan rewrite.Plan) (string, []rewrite.Sighting) {
	t.Helper()
	got, saw, err := rewriteAllWays(page, contentType, plan)
	if err != nil {
		t.Fatal(err)
	}
	return got, saw
}

func rewriteOnce(t testing.TB, src io.Reader, contentType string, plan rewrite.Plan) (string, []rewrite.Sighting) {
	t.Helper()
	got, saw, err := rewriteBy(mustCompile(t, plan), src, contentType, drainWhole)
	if err != nil {
		t.Fatal(err)
	}
	return got, saw
}

func newReader(t testing.TB, src io.Reader, contentType string, plan rewrite.Plan) *rewrite.Reader {
	t.Helper()
	return mustCompile(t, plan).NewReader(src, contentType)
}

func mustCompile(t testing.TB, plan rewrite.Plan) *rewrite.Program {
	t.Helper()
	program, err := rewrite.Compile(plan)
	if err != nil {
		t.Fatalf("compiling %+v: %v", plan, err)
	}
	return program
}
