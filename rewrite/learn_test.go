package rewrite

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// pieces reads random pieces of a page.
type pieces struct {
	page []byte
	rnd  *rand.Rand
	most int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.page) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.page[:min(len(p.page), 1+p.rnd.IntN(p.most))])
	p.page = p.page[n:]
	return n, nil
}

// With a memory and without one, whatever came before, the outcome is the same.
func TestLearn(t *testing.T) {
	seed := Seed()
	rnd := rand.New(rand.NewPCG(seed, 0))
	plan := Plan{MaxRegion: 3000}
	for i, op := range []Operation{Inner, Append, Outer, Before, After, Text, Prepend, Remove} {
		plan.Surfaces = append(plan.Surfaces, Surface{Name: fmt.Sprint("x", i), Operation: op, Replace: i != 5, HTML: []byte("<i>new</i> words")})
	}
	program, err := Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for round := range 150 {
		memory := NewMemory(1 << 20)
		base := learnablePage(rnd)
		contentType := []string{"text/html; charset=utf-8", "text/html", "text/html; charset=windows-1252"}[rnd.IntN(3)]
		for range 6 {
			page := mutate(rnd, base)
			outcome := func(m *Memory, most int) (string, string) {
				r := program.NewReader(&pieces{page, rnd, most}, contentType)
				defer r.Close()
				if m != nil {
					r.Learn(m, "/", contentType)
				}
				out, err := io.ReadAll(r)
				if err != nil || r.Fault() != nil {
					t.Fatalf("seed %d, round %d: %v, %v", seed, round, err, r.Fault())
				}
				return string(out), fmt.Sprint(r.Sightings())
			}
			most := []int{1, 7, 100, 3000, 100000}[rnd.IntN(5)]
			want, wantSaw := outcome(nil, 100000)
			if got, saw := outcome(nil, most); got != want || saw != wantSaw {
				t.Fatalf("seed %d, round %d, in pieces of %d, and without a memory\nwant %v\n got %v", seed, round, most, wantSaw, saw)
			}
			got, saw := outcome(memory, most)
			if got != want || saw != wantSaw {
				k := 0
				for k < min(len(got), len(want)) && got[k] == want[k] {
					k++
				}
				t.Fatalf("seed %d, round %d, pieces of %d, page of %d: at %d\nwant %.200q\n got %.200q\nwant %v\n got %v", seed, round, most, len(page), k,
					want[max(0, k-50):], got[max(0, k-50):], wantSaw, saw)
			}
			for _, e := range memory.routes {
				if e.Value.(*lesson).page != nil {
					followed++
				}
			}
		}
	}
	if followed < 100 {
		t.Errorf("seed %d: a page was remembered only %d times: this shows nothing", seed, followed)
	}
}

func learnablePage(rnd *rand.Rand) []byte {
	var b strings.Builder
	b.WriteString("<!doctype html><html><head><title>x</title></head><body class=page>")
	names, open := 0, []string{}
	for limit := 200 + rnd.IntN(30000); b.Len() < limit; {
		switch rnd.IntN(9) {
		case 0, 1, 2:
			name := []string{"div", "p", "section", "ul", "li", "a", "b", "table", "tr", "td", "span"}[rnd.IntN(11)]
			b.WriteString("<" + name + " class=\"c\"")
			if rnd.IntN(12) == 0 && names < 8 {
				fmt.Fprintf(&b, " data-surface=x%d", names)
				names++
			}
			b.WriteString(">")
			open = append(open, name)
		case 3, 4, 5:
			if n := len(open); n > 0 {
				b.WriteString("</" + open[n-1] + ">")
				open = open[:n-1]
			}
		case 6:
			b.WriteString([]string{"<!-- c -->", "<script>if (a<b) {}</script>", "<br>", "<img src=x>", "\x1b", "<noscript><p>x</p></noscript>", "<select><option>x</select>"}[rnd.IntN(7)])
		default:
			fmt.Fprintf(&b, "%s %d ", strings.Repeat("some words ", rnd.IntN(60)), rnd.IntN(1000))
		}
	}
	for _, name := range slices.Backward(open) {
		b.WriteString("</" + name + ">")
	}
	return []byte(b.String() + "</body></html>")
}

// mutate changes a page in up to three places.
func mutate(rnd *rand.Rand, page []byte) []byte {
	page = bytes.Clone(page)
	for range rnd.IntN(4) {
		if len(page) == 0 {
			break
		}
		i := rnd.IntN(len(page))
		n := min(len(page)-i, rnd.IntN(40))
		switch rnd.IntN(5) {
		case 0: // other words of the same length
			for k := range page[i : i+n] {
				page[i+k] = 'a' + byte(rnd.IntN(26))
			}
		case 1:
			page = slices.Insert(page, i, []byte(fmt.Sprintf(" nonce %d ", rnd.Int()))...)
		case 2:
			page = slices.Delete(page, i, i+n)
		case 3:
			page = slices.Insert(page, i, []byte([]string{"<b>", "<div>", "</div>", "<!--", "<p data-surface=x3>", "</p>", "<textarea>", "<table>"}[rnd.IntN(8)])...)
		case 4:
			if rnd.IntN(4) == 0 {
				page = page[:max(i, 1)]
			}
		}
	}
	return page
}

// TestLearnedCharset: what a page's head says of its charset holds for that head
// alone.
func TestLearnedCharset(t *testing.T) {
	program, err := Compile(Plan{Surfaces: []Surface{{Name: "x", Operation: Inner, Replace: true, HTML: []byte("<b>für</b>")}}})
	if err != nil {
		t.Fatal(err)
	}
	const rest = "<title>a</title><div data-surface=x>old</div><p>" + "rest of the page " + "</p>"
	heads := []string{"<meta charset=utf-8>", "<meta charset=utf-8>", "<meta charset=big5>", "<meta charset=iso-8859-1>", "<meta charset=koi8-r>", "", "<meta charset=utf-16>",
		"<meta charset=iso-2022-jp>", strings.Repeat("<!-- more than a prescan -->", 50) + "<meta charset=utf-8>"}
	memory := NewMemory(1 << 20)
	used := 0
	for i := range 300 {
		page := heads[rand.IntN(len(heads))] + rest
		outcome := func(m *Memory) string {
			r := program.NewReader(strings.NewReader(page), "text/html")
			defer r.Close()
			if m != nil {
				r.Learn(m, fmt.Sprint(i%3), "text/html")
			}
			out, err := io.ReadAll(r)
			if err != nil || r.Fault() != nil {
				t.Fatal(err, r.Fault())
			}
			return fmt.Sprintf("%q %+v", out, r.Sightings())
		}
		for _, e := range memory.routes {
			if p := e.Value.(*lesson).page; p != nil && p.head > 0 && strings.HasPrefix(page, string(p.page[:p.head])) {
				used++
			}
		}
		if got, want := outcome(memory), outcome(nil); got != want {
			t.Fatalf("%.60q\n got %s\nwant %s", page, got, want)
		}
	}
	if used == 0 {
		t.Error("no page came whose head was learned: this shows nothing")
	}
}
