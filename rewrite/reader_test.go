package rewrite_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed14307185/refract/rewrite"
)

func ExampleCompile() {
	page := strings.NewReader(`<main><h1>Project</h1><section data-surface="project-home.card"><p>Nothing here yet.</section></main>`)
	program, err := rewrite.Compile(rewrite.Plan{
		Surfaces: []rewrite.Surface{{Name: "project-home.card", Replace: true, HTML: []byte("<p>Invite a teammate.</p>")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := program.NewReader(page, "text/html; charset=utf-8")
	defer r.Close()
	b, err := io.ReadAll(r)
	s := r.Sightings()[0]
	fmt.Printf("%s\n%s: %s %s, %v\n", b, s.Name, s.Operation, s.State, err)
	// Output:
	// <main><h1>Project</h1><section data-surface="project-home.card"><p>Invite a teammate.</p></section></main>
	// project-home.card: inner swappable, <nil>
}

func ExampleReader_Trace() {
	page := strings.NewReader(`<body><ul><li>One<li class=new>Two</ul>`)
	program, err := rewrite.Compile(rewrite.Plan{
		Surfaces: []rewrite.Surface{{Name: "second", Select: "li.new", Operation: rewrite.Text, Replace: true, HTML: []byte("2 < 3")}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := program.NewReader(page, "text/html; charset=utf-8")
	defer r.Close()
	r.Trace(os.Stdout)
	b, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", b, err)
	// Output:
	//   offset   bytes depth
	//        0       6     2      <body>  → in body
	//        6       4     3        <ul>
	//       10       4     4          <li>
	//       14       3     4          text
	//       17      14     4          <li>
	//       31        *      second: <li> at 17 opened for text, held
	//       31       3     4          text
	//       34       5     2      </ul>
	//       39        *      second: swappable, text done
	//       39        *      the rest of the page is copied as it is
	// <body><ul><li>One<li class=new>2 &lt; 3</ul> <nil>
}

func TestSeveralRegions(t *testing.T) {
	const (
		a, b, b2 = "<div data-surface=x0>a</div>", "<div data-surface=x1>b</div>", "<p data-surface=x1>b</p>"
		nest     = "<div data-surface=x0>a<p data-surface=x1>b</p></div>"
		swappedA = "<div data-surface=x0>new</div>"
		swappedB = "<div data-surface=x1>new</div>"
	)
	for _, c := range []struct{ page, want, saw string }{
		{a + b, swappedA + swappedB, "x0 swappable 1, x1 swappable 1, x2 missing 0"},
		{b + a, swappedB + swappedA, "x0 swappable 1, x1 swappable 1, x2 missing 0"},
		{b + b2, swappedB + b2, "x0 missing 0, x1 swappable 2, x2 missing 0"},
		{nest, swappedA, "x0 swappable 1, x1 untouched nested 1, x2 missing 0"},
		{nest + b, swappedA + b, "x0 swappable 1, x1 untouched nested 2, x2 missing 0"},
		{b + nest, swappedB + swappedA, "x0 swappable 1, x1 swappable 2, x2 missing 0"},
		{b + "<plaintext>" + a, swappedB + "<plaintext>" + a, "x0 untouched plaintext 0, x1 swappable 1, x2 untouched plaintext 0"},
		{"<section data-surface=x0>" + b + "</section><plaintext>", "<section data-surface=x0>new</section><plaintext>",
			"x0 swappable 1, x1 untouched nested 1, x2 untouched plaintext 0"},
		{a + a + b, swappedA + a + swappedB, "x0 swappable 2, x1 swappable 1, x2 missing 0"},
		{"<div data-surface=x0>" + a + "</div>" + a, "<div data-surface=x0>new</div>" + a, "x0 swappable 3, x1 missing 0, x2 missing 0"},
		{"<template>" + a + "</template>" + a, "<template>" + a + "</template>" + swappedA, "x0 swappable 1, x1 missing 0, x2 missing 0"},
	} {
		got, saw := rewriteChunked(t, "<body>"+c.page, inUTF8, planFor("new", "x0", "x1", "x2"))
		if got != "<body>"+c.want || told(saw) != c.saw {
			t.Errorf("page %s\nwant %s %s\ngot  %s %s", c.page, c.want, c.saw, got, told(saw))
		}
	}
}

// told writes sightings in short: name, state, reason, count.
func told(saw []rewrite.Sighting) string {
	var all []string
	for _, s := range saw {
		all = append(all, strings.Join(strings.Fields(fmt.Sprint(s.Name, " ", s.State, " ", s.Reason, " ", s.Count)), " "))
	}
	return strings.Join(all, ", ")
}

// After each wanted surface was seen nothing more is looked at, so a later
// region of the same name stays.
func TestAfterTheLastSurfaceThePageIsCopied(t *testing.T) {
	const page = "<body><p data-surface=x0>a</p><p data-surface=x1>b</p><p data-surface=x0>c</p>"
	got, saw := rewriteChunked(t, page, inUTF8, planFor("", "x0", "x1"))
	if want := "<body><p data-surface=x0></p><p data-surface=x1></p><p data-surface=x0>c</p>"; got != want || saw[0].Count != 1 {
		t.Errorf("got %s %v", got, saw)
	}
}

// Where all are to be counted, they are, and still the first alone is changed.
func TestCountAll(t *testing.T) {
	for _, c := range []struct {
		page, want string
		count      int
		whole      bool
	}{
		{"<p data-surface=x0>a</p>", "<p data-surface=x0></p>", 1, true},
		{"<p data-surface=x0>a</p><p data-surface=x0>b</p><i data-surface=x0>", "<p data-surface=x0></p><p data-surface=x0>b</p><i data-surface=x0>", 3, true},
		{"<p>a</p>", "<p>a</p>", 0, true},
		{"", "", 0, true},
		{"<p data-surface=x0>a</p><!-- <p data-surface=x0> --><template><p data-surface=x0></template>",
			"<p data-surface=x0></p><!-- <p data-surface=x0> --><template><p data-surface=x0></template>", 1, true},
		{"<p data-surface=x0>a</p><plaintext><p data-surface=x0>b", "<p data-surface=x0></p><plaintext><p data-surface=x0>b", 1, false},
	} {
		got, saw, err := rewriteBy(mustCompile(t, planFor("", "x0")), strings.NewReader("<body>"+c.page), inUTF8, drainCounting)
		if err != nil || got != "<body>"+c.want || saw[0].Count != c.count || saw[0].Whole != c.whole {
			t.Errorf("%s: got %s %+v, %v", c.page, got, saw, err)
		}
	}
	broken := io.MultiReader(strings.NewReader("<body><p data-surface=x0>a</p>"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, saw, err := rewriteBy(mustCompile(t, planFor("", "x0")), broken, inUTF8, drainCounting); err == nil || saw[0].Whole || saw[0].Count != 1 {
		t.Errorf("a page that breaks off: %+v, %v", saw, err)
	}
}

func TestSameNameTwiceInThePlan(t *testing.T) {
	if _, err := rewrite.Compile(planFor("new", "x0", "x1", "x0")); err == nil {
		t.Error("no error")
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
				got, saw := rewriteOnce(t, chunked{strings.NewReader(page), 1000, nil}, inUTF8, plan)
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

// What need not be held has no limit.
func TestLongTextBeforeARegion(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for _, before := range []string{long, "<!--" + long + "-->", "<script>" + long + "</script>", "<style>" + long + "</style>", "<!" + long + ">"} {
		page := "<body>" + before + "<div data-surface=x0>old</div>"
		got, saw := rewriteOnce(t, chunked{strings.NewReader(page), 1 << 16, nil}, inUTF8, planFor("new", "x0"))
		if saw[0].State != rewrite.Swappable || got != strings.Replace(page, "old", "new", 1) {
			t.Errorf("after %.10q…: %+v", before, saw)
		}
	}
}

// A tag that is larger than what may be held is handed on, whatever else.
func TestLongTag(t *testing.T) {
	const region = "<div data-surface=x0>old</div>"
	for _, size := range []int{30, 64, 65, 1000} {
		for _, page := range []string{
			"<body><a title='" + strings.Repeat("x", size) + "'></a>" + region,
			"<body><p " + strings.Repeat("x ", size) + ">" + region,
			"<body><" + strings.Repeat("x", size) + ">" + region,
			"<body><div title='" + strings.Repeat("x", size) + "' data-surface=x0>old</div>",
			"<body><div data-surface=x0><p title='" + strings.Repeat("x", size) + "'></div>",
		} {
			plan := planFor("new", "x0")
			plan.MaxRegion = 64
			saw := verify(t, page, plan)
			if saw[0].State == rewrite.Missing || saw[0].State == rewrite.Untouched && saw[0].Reason != rewrite.TooLarge {
				t.Errorf("%.20q… with a tag of %d bytes: %+v", page, size, saw)
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
		held   []int // at most, of what was received, when more is asked for
	}{
		{[]string{"<p>one</p>", "<p>two</p>", "</body>"}, []int{0, 0, 0, 0}},
		{[]string{"<p>one</p><p tit", "le='>'>two</p>"}, []int{0, 6, 0}},
		{[]string{"<p>one</p><!-- >", " --></p>"}, []int{0, 6, 0}},
		{[]string{"<p>one</p>te", "xt", "<p>"}, []int{0, 2, 4, 0}},
		{[]string{"<script>a<b", "</script>"}, []int{0, 3, 0}},
		{[]string{"<div data-surface=x0><p>one</p>", "<p>two</p>", "</div><p>"}, []int{0, 10, 20, 0}},
		{[]string{"<div data-surface=x0><p>one</p></b>", "<p>"}, []int{0, 14, 17}},
		{[]string{"<div data-surface=x1></div>te", "xt", "text"}, []int{0, 2, 4, 8}},
		{[]string{"<div data-surface=x0></div><i data-surface=x1>te", "xt", "text"}, []int{0, 2, 4, 8}},
		{[]string{"<div data-surface=x0></div><i data-surface=x1></i>te", "xt<", "text"}, []int{0, 0, 0, 0}},
		{[]string{"\xef", "\xbb", "\xbf<p>one</p>"}, []int{0, 1, 2, 0}},
	} {
		handed, received := 0, 0
		src := &piecewise{pieces: c.pieces, handed: &handed}
		r := newReader(t, src, inUTF8, observing(planFor("", "x0", "x1")))
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
			if held := received - asked; i >= len(c.held) || held > c.held[i] {
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
			r := newReader(t, src, inUTF8, planFor("new", "x0", "x1"))
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
	r := newReader(t, io.MultiReader(strings.NewReader("<p>te"), stuck{}), inUTF8, planFor("", "x0"))
	var got []byte
	var err error
	p := make([]byte, 16)
	for tries := 0; err == nil && tries < 1000; tries++ { // many more than anybody may take
		var n int
		n, err = r.Read(p)
		got = append(got, p[:n]...)
	}
	if string(got) != "<p>te" || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %q, %v", got, err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestNothingWanted(t *testing.T) {
	const page = "<body><p data-surface=x0>old</p>"
	r := newReader(t, strings.NewReader(page), inUTF8, rewrite.Plan{})
	if err := iotest.TestReader(r, []byte(page)); err != nil || len(r.Sightings()) != 0 {
		t.Error(err, r.Sightings())
	}
}

func TestReaderContract(t *testing.T) {
	r := newReader(t, strings.NewReader("<body><p data-surface=x0>old</p>tail"), inUTF8, planFor("new", "x0"))
	if err := iotest.TestReader(r, []byte("<body><p data-surface=x0>new</p>tail")); err != nil {
		t.Error(err)
	}
}

// A region that may only be changed at the page's end holds little of what
// follows it.
func TestLongEnd(t *testing.T) {
	for ends, want := range map[int]rewrite.State{1: rewrite.Swappable, 9: rewrite.Swappable, 10: rewrite.Untouched, 1000: rewrite.Untouched} {
		page := "<body><div data-surface=x0><b>old</div>" + strings.Repeat("</body></html>", ends)
		if _, saw := rewriteChunked(t, page, inUTF8, planFor("new", "x0")); saw[0].State != want {
			t.Errorf("%d ends: %+v", ends, saw)
		}
	}
}
