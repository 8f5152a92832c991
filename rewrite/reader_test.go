package rewrite_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed14307185/refract/rewrite"
)

func ExampleNewReader() {
	page := strings.NewReader(`<main><h1>Project</h1><section data-surface="project-home.card"><p>Nothing here yet.</section></main>`)
	r := rewrite.NewReader(page, rewrite.Plan{
		ContentType: "text/html; charset=utf-8",
		Surfaces:    []rewrite.Surface{{Name: "project-home.card", Replace: true, HTML: []byte("<p>Invite a teammate.</p>")}},
	})
	b, _ := io.ReadAll(r)
	fmt.Printf("%s\n%+v\n", b, r.Sightings())
	// Output:
	// <main><h1>Project</h1><section data-surface="project-home.card"><p>Invite a teammate.</p></section></main>
	// [{Name:project-home.card State:swappable Reason: Count:1}]
}

func TestSeveralRegions(t *testing.T) {
	const (
		a, b, b2 = "<div data-surface=x0>a</div>", "<div data-surface=x1>b</div>", "<p data-surface=x1>b</p>"
		nest     = "<div data-surface=x0>a<p data-surface=x1>b</p></div>"
		swappedA = "<div data-surface=x0>new</div>"
		swappedB = "<div data-surface=x1>new</div>"
	)
	for _, c := range []struct{ page, want, saw string }{
		{a + b, swappedA + swappedB, "[{x0 swappable  1} {x1 swappable  1} {x2 missing  0}]"},
		{b + a, swappedB + swappedA, "[{x0 swappable  1} {x1 swappable  1} {x2 missing  0}]"},
		{b + b2, swappedB + "<p data-surface=x1>new</p>", "[{x0 missing  0} {x1 swappable  2} {x2 missing  0}]"},
		{nest, swappedA, "[{x0 swappable  1} {x1 untouched nested 1} {x2 missing  0}]"},
		{nest + b, swappedA + swappedB, "[{x0 swappable  1} {x1 swappable  1} {x2 missing  0}]"},
		{b + nest, swappedB + swappedA, "[{x0 swappable  1} {x1 swappable  1} {x2 missing  0}]"},
		{"<div data-surface=x0></b>" + b + "</div>" + b, "<div data-surface=x0></b>" + swappedB + "</div>" + swappedB,
			"[{x0 untouched ambiguous 1} {x1 swappable  2} {x2 missing  0}]"},
		{"<i data-surface=x0></i>" + b + "<plaintext>" + a, "<i data-surface=x0></i>" + swappedB + "<plaintext>" + a,
			"[{x0 untouched not-a-block 1} {x1 swappable  1} {x2 untouched plaintext 0}]"},
		{"<div data-surface=x0>" + b, "<div data-surface=x0>" + b, "[{x0 untouched unclosed 1} {x1 untouched nested 1} {x2 missing  0}]"},
	} {
		got, saw := rewriteChunked(t, "<body>"+c.page, planFor("new", "x0", "x1", "x2"))
		if got != "<body>"+c.want || fmt.Sprint(saw) != c.saw {
			t.Errorf("page %s\nwant %s %s\ngot  %s %v", c.page, c.want, c.saw, got, saw)
		}
	}
}

// After each wanted surface was seen nothing more is looked at, so a later
// region of the same name stays.
func TestAfterTheLastSurfaceThePageIsCopied(t *testing.T) {
	const page = "<body><p data-surface=x0>a</p><p data-surface=x1>b</p><p data-surface=x0>c</p>"
	got, saw := rewriteChunked(t, page, planFor("", "x0", "x1"))
	if want := "<body><p data-surface=x0></p><p data-surface=x1></p><p data-surface=x0>c</p>"; got != want || saw[0].Count != 1 {
		t.Errorf("got %s %v", got, saw)
	}
}

func TestSameNameTwiceInThePlan(t *testing.T) {
	plan := planFor("first", "x0", "x0")
	plan.Surfaces[1].HTML = []byte("second")
	got, saw := rewriteChunked(t, "<body><p data-surface=x0></p>", plan)
	if got != "<body><p data-surface=x0>first</p>" || saw[1].Reason != rewrite.Duplicate {
		t.Errorf("got %s %v", got, saw)
	}
	if _, saw = rewriteChunked(t, "<body>", plan); saw[1].State != rewrite.Missing {
		t.Errorf("nothing there: %v", saw)
	}
}

func TestOtherAttribute(t *testing.T) {
	plan := planFor("new", "x0")
	plan.Attribute = "Data-Region"
	got, _ := rewriteChunked(t, "<body><p data-surface=x0></p><p DATA-region=x0></p>", plan)
	if got != "<body><p data-surface=x0></p><p DATA-region=x0>new</p>" {
		t.Errorf("got %s", got)
	}
}

func TestMaxRegion(t *testing.T) {
	for _, limit := range []int{0, 40} {
		plan := planFor("new", "x0", "x1")
		plan.MaxRegion = limit
		most := limit
		if limit == 0 {
			most = rewrite.DefaultMaxRegion
		}
		for size, reason := range map[int]rewrite.Reason{most: "", most + 1: rewrite.TooLarge} {
			for _, content := range []string{strings.Repeat("x", size), strings.Repeat("x", size-8) + "<p>x</p>", "<p>x</p>" + strings.Repeat("x", size-8)} {
				page := "<body><div data-surface=x0>" + content + "</div><div data-surface=x1></div>"
				got, saw := rewriteOnce(t, chunked{strings.NewReader(page), 1000, nil}, plan)
				want := strings.Replace(page, "x1>", "x1>new", 1)
				if reason == "" {
					want = strings.Replace(want, content, "new", 1)
				}
				if got != want || saw[0].Reason != reason || saw[1].State != rewrite.Swappable {
					t.Errorf("%d bytes, limit %d: %v", size, limit, saw)
				}
			}
		}
	}
}

func TestMaxToken(t *testing.T) {
	const region = "<div data-surface=x0>old</div>"
	// The tokenizer looks up to ten bytes beyond a token to see that it ends.
	for size, reason := range map[int]rewrite.Reason{rewrite.MaxToken - 10: "", rewrite.MaxToken: rewrite.TooLarge} {
		for _, page := range []string{
			"<body>" + strings.Repeat("x", size) + region,
			"<body><!--" + strings.Repeat("x", size-7) + "-->" + region,
			"<body><a title='" + strings.Repeat("x", size-12) + "'></a>" + region,
			"<body><script>" + strings.Repeat("x", size) + "</script>" + region,
		} {
			src := chunked{strings.NewReader(page), 1 << 16, nil}
			got, saw := rewriteOnce(t, src, planFor("new", "x0"))
			want := page
			if reason == "" {
				want = strings.Replace(page, "old", "new", 1)
			}
			if got != want || saw[0].Reason != reason {
				t.Errorf("%.20q… with a token of about %d bytes: %v", page, size, saw)
			}
		}
	}
}

// piecewise is a source that records, whenever it is asked for more, how much
// of the page had been handed on by then.
type piecewise struct {
	pieces []string
	handed *int
	asked  []int
}

func (s *piecewise) Read(p []byte) (int, error) {
	s.asked = append(s.asked, *s.handed)
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces = s.pieces[1:]
	return n, nil
}

func TestSettledBytesAreHandedOnBeforeMoreAreRead(t *testing.T) {
	for _, c := range []struct {
		pieces []string
		held   []int // of what was received, when more is asked for
	}{
		{[]string{"<p>one</p>", "<p>two</p>", "</body>"}, []int{0, 0, 0, 0}},
		{[]string{"<p>one</p><p tit", "le='>'>two</p>"}, []int{0, 6, 0}},
		{[]string{"<p>one</p><!-- >", " --></p>"}, []int{0, 6, 0}},
		{[]string{"<p>one</p>te", "xt", "<p>"}, []int{0, 2, 4, 0}},
		{[]string{"<script>a<b", "</script>"}, []int{0, 3, 0}},
		{[]string{"<div data-surface=x0><p>one</p>", "<p>two</p>", "</div><p>"}, []int{0, 10, 20, 0}},
		{[]string{"<div data-surface=x0><p>one</p></b>", "<p>"}, []int{0, 0, 0}},
		{[]string{"<div data-surface=x1></div>te", "xt", "text"}, []int{0, 2, 4, 8}},
		{[]string{"<div data-surface=x0></div><i data-surface=x1>te", "xt", "text"}, []int{0, 0, 0, 0}},
		{[]string{"\xef", "\xbb", "\xbf<p>one</p>"}, []int{0, 1, 2, 0}},
	} {
		handed, received := 0, 0
		src := &piecewise{pieces: c.pieces, handed: &handed}
		r := rewrite.NewReader(src, observing(planFor("", "x0", "x1")))
		var got strings.Builder
		for p := make([]byte, 512); ; {
			n, err := r.Read(p)
			handed += n
			got.Write(p[:n])
			if err != nil {
				break
			}
		}
		for i, asked := range src.asked {
			if held := received - asked; i >= len(c.held) || held != c.held[i] {
				t.Errorf("%q: %d bytes held before piece %d: %v", c.pieces, held, i, src.asked)
			}
			if i < len(c.pieces) {
				received += len(c.pieces[i])
			}
		}
		if want := strings.Join(c.pieces, ""); got.String() != want {
			t.Errorf("got %q, want %q", got.String(), want)
		}
	}
}

// Wherever the source fails, what it gave comes out first, a held region as it was.
func TestErrorOfTheSource(t *testing.T) {
	const page = "<body><p data-surface=x0>old</p><!-- x --><script>a</script><div data-surface=x1><p>old</p></div>tail"
	broken := errors.New("broken pipe")
	for at := range len(page) {
		for _, src := range []io.Reader{
			io.MultiReader(strings.NewReader(page[:at]), iotest.ErrReader(broken)),
			io.MultiReader(iotest.OneByteReader(strings.NewReader(page[:at])), iotest.ErrReader(broken)),
			iotest.DataErrReader(io.MultiReader(strings.NewReader(page[:at]), iotest.ErrReader(broken))),
		} {
			r := rewrite.NewReader(src, planFor("new", "x0", "x1"))
			got, err := io.ReadAll(r)
			want := strings.Replace(page[:at], ">old</p><", ">new</p><", 1)
			if strings.HasSuffix(page[:at], "old</p>") && strings.Count(page[:at], "old") == 1 {
				want = strings.Replace(page[:at], "old", "new", 1)
			}
			want = strings.Replace(want, "<p>old</p></div>", "new</div>", 1)
			if string(got) != want || !errors.Is(err, broken) {
				t.Fatalf("error after %q: got %q, %v", page[:at], got, err)
			}
			if n, err := r.Read(make([]byte, 9)); n != 0 || !errors.Is(err, broken) {
				t.Fatalf("the error doesn't stay: %d %v", n, err)
			}
		}
	}
}

// A source that gives nothing and no error for ever is given up.
func TestStuckSource(t *testing.T) {
	r := rewrite.NewReader(io.MultiReader(strings.NewReader("<p>te"), stuck{}), planFor("", "x0"))
	got, err := io.ReadAll(r)
	if string(got) != "<p>te" || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %q, %v", got, err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestNothingWanted(t *testing.T) {
	const page = "<body><p data-surface=x0>old</p>"
	r := rewrite.NewReader(strings.NewReader(page), rewrite.Plan{})
	if err := iotest.TestReader(r, []byte(page)); err != nil || len(r.Sightings()) != 0 {
		t.Error(err, r.Sightings())
	}
}

func TestReaderContract(t *testing.T) {
	r := rewrite.NewReader(strings.NewReader("<body><p data-surface=x0>old</p>tail"), planFor("new", "x0"))
	if err := iotest.TestReader(r, []byte("<body><p data-surface=x0>new</p>tail")); err != nil {
		t.Error(err)
	}
}
