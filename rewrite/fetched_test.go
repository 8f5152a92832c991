package rewrite_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

// A fetchedPage is one that scripts/bench-pages fetched, with three regions marked.
type fetchedPage struct {
	name    string
	html    []byte
	swapped []byte // what becomes of it
}

// fetchedPages are the fetched pages, by size. Without them the benchmark is
// skipped.
func fetchedPages(b *testing.B) []fetchedPage {
	b.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		skip(b, err.Error())
	}
	files, err := filepath.Glob(filepath.Join(cache, "refract", "bench-pages", "*.html"))
	if err != nil {
		b.Fatal(err)
	}
	if len(files) == 0 {
		skip(b, "no pages: run scripts/bench-pages")
	}
	var pages []fetchedPage
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".html")
		marked, swapped, err := markRegions(page)
		if err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		pages = append(pages, fetchedPage{name, marked, swapped})
	}
	slices.SortFunc(pages, func(a, b fetchedPage) int { return cmp.Compare(len(a.html), len(b.html)) })
	return pages
}

// skip says why, which a skipped benchmark by itself does not.
func skip(b *testing.B, why string) {
	fmt.Fprintf(os.Stderr, "%s skipped: %s\n", b.Name(), why)
	b.SkipNow()
}

// markRegions marks the elements nearest to 20 %, 55 % and 95 % of a page that
// are small and that the engine and the tokenizer swap with the same outcome,
// which it returns too.
func markRegions(page []byte) (marked, swapped []byte, err error) {
	blocks := blockTags(page)
	marked = page
	for i, share := range []float64{.95, .55, .20} { // from the end, so that offsets hold
		name := regionNames[2-i]
		at := int(share * float64(len(page)))
		slices.SortStableFunc(blocks, func(a, b int) int { return cmp.Compare(max(a-at, at-a), max(b-at, at-b)) })
		found := slices.IndexFunc(blocks[:min(300, len(blocks))], func(block int) bool {
			if marked[block] == ' ' && bytes.HasPrefix(marked[block+1:], []byte(rewrite.DefaultAttribute)) {
				return false
			}
			try := slices.Concat(marked[:block], fmt.Appendf(nil, ` %s="%s"`, rewrite.DefaultAttribute, name), marked[block:])
			out, ok := swapsAlike(try, regionNames[2-i:])
			removed := len(try) + (i+1)*len(benchContent) - len(out) // from all regions so far
			if !ok || removed > (i+1)*min(8<<10, max(256, len(page)/10)) {
				return false
			}
			marked, swapped = try, out
			return true
		})
		if found < 0 {
			return nil, nil, fmt.Errorf("no swappable region near %.0f %%", 100*share)
		}
	}
	return marked, swapped, nil
}

// swapsAlike rewrites a page with the engine and with the tokenizer, and says
// whether both swapped all those regions and agree.
func swapsAlike(page []byte, names []string) ([]byte, bool) {
	program, err := rewrite.Compile(benchPlan(names...))
	if err != nil {
		return nil, false
	}
	r := program.NewReader(bytes.NewReader(page), inUTF8)
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || slices.ContainsFunc(r.Sightings(), func(s rewrite.Sighting) bool { return s.State != rewrite.Swappable }) {
		return nil, false
	}
	var other bytes.Buffer
	if err := tokenize(bufio.NewWriter(&other), bytes.NewReader(page)); err != nil {
		return nil, false
	}
	return got, bytes.Equal(got, other.Bytes())
}

// blockTags are the offsets behind the names of the start tags of blocks that a
// product team would mark.
func blockTags(page []byte) []int {
	var found []int
	z := html.NewTokenizer(bytes.NewReader(page))
	for at := 0; ; at += len(z.Raw()) {
		switch z.Next() {
		case html.ErrorToken:
			return found
		case html.StartTagToken:
			raw := z.Raw()
			n := 1 + tagNameLen(raw[1:])
			switch strings.ToLower(string(raw[1:n])) {
			case "div", "section", "article", "p", "li", "td", "dd":
				found = append(found, at+n)
			}
		}
	}
}
