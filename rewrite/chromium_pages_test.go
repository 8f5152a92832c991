package rewrite_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

var (
	chromiumPages  = flag.String("pages", "", "directory of real pages for TestChromium/pages")
	chromiumSample = flag.Int("pages-sample", 10, "regions tried on each real page")
)

// realPages marks block elements of real pages, one at a time.
func (c *chromium) realPages(t *testing.T) {
	if *chromiumPages == "" {
		t.Skip("no directory of real pages given: -pages DIR")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	whole := &tally{name: "all", reasons: map[rewrite.Reason]int{}}
	rows := []fmt.Stringer{}
	var wrong []string
	made := 0
	err := filepath.WalkDir(*chromiumPages, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(filepath.Ext(path), ".htm") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b = bytes.ToValidUTF8(bytes.TrimPrefix(b, []byte("\ufeff")), []byte("\ufffd"))
		count := &tally{name: strings.TrimPrefix(path, *chromiumPages), reasons: map[rewrite.Reason]int{}}
		places := blocks(b)
		rnd.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		var trials []trial
		for i, at := range places[:min(len(places), *chromiumSample)] {
			fragment := chromiumFragments[i%2*4]
			if bytes.HasSuffix(bytes.ToLower(b[:at]), []byte("<table")) {
				fragment = "<tr><td>new"
			}
			page := string(b[:at]) + ` data-surface="x"` + string(b[at:])
			trials = append(trials, trial{count, page, rewrite.Surface{Name: "x", Operation: rewrite.Inner, HTML: []byte(fragment)}, fmt.Sprintf("%s:%d %.20q", path, at, b[at-min(at, 12):])})
		}
		m, w := c.judge(t, trials, engine)
		made += m
		wrong = append(wrong, w...)
		if len(count.left) > 0 {
			rows = append(rows, count)
		}
		whole.add(count)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong[:min(len(wrong), 3)] {
		t.Errorf("wrong splice: %.3000s", w)
	}
	for i := 0; i < len(whole.left); i += 1 + len(whole.left)/50 {
		t.Log(whole.left[i])
	}
	t.Logf("%d comparisons in Chromium %s, %d wrong splices\n%s", made, c.version, len(wrong),
		table("page\tregions\tswapped\tmissing\toverlooked\tleft alone %\tby reason %", append(rows, whole)...))
	if left := whole.regions - whole.swapped - whole.missing; whole.regions == 0 || left*100 >= whole.regions {
		t.Errorf("%d of %d regions of real pages left alone", left, whole.regions)
	}
}

// blocks finds the start tags of block elements: the offsets after their names.
func blocks(page []byte) []int {
	var places []int
	offset := 0
	z := html.NewTokenizer(strings.NewReader(string(page)))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		size := len(z.Raw())
		if kind == html.StartTagToken {
			name, _ := z.TagName()
			switch string(name) {
			case "div", "section", "article", "main", "aside", "header", "footer", "nav", "ul", "ol", "li", "dl", "dt", "dd",
				"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "figure", "form", "fieldset", "details", "table", "td", "th":
				places = append(places, offset+1+len(name))
			}
		}
		offset += size
	}
	return places
}
