package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed14307185/refract/scripts/lab"
)

// The three regions of every page: where they stand, as parts of the page, and
// what becomes of them.
var regions = []struct {
	name     string
	at       float64
	was, now string
}{
	{"top", 0.20, "<p>Plan: Trial, 14 days left</p>", "<p><strong>Invite your team</strong> and export the first report together. <a href=\"/invite\">Invite</a></p>"},
	{"middle", 0.55, "<p>Three reports, none scheduled</p>", "<p>Have this report sent to you every week. <a class=\"button\" href=\"/schedule\">Schedule</a></p>"},
	{"end", 0.95, "<p>See all prices</p>", "<p>Prices for teams of up to ten. <a href=\"/prices\">Compare</a></p>"},
}

// page is a page of the benchmark.
type page struct {
	name              string // that of its file, and of its path
	size              string
	original, treated string
}

// makePages makes the pages of those in dir, which scripts/bench-pages fetched:
// each with three regions put in after ends of paragraphs, or of list items or
// divisions, where the binary swaps them.
func makePages(ctx context.Context, l *lab.Lab, binary, dir string) ([]page, error) {
	var pages []page
	for _, p := range []struct {
		from  string
		times int // how often the body stands in the page
	}{{"postgresql-move", 2}, {"python-json", 1}, {"java-override", 1}} {
		b, err := os.ReadFile(filepath.Join(dir, p.from+".html"))
		if err != nil {
			return nil, err
		}
		html := string(b)
		open := strings.Index(html, "<body")
		open += strings.IndexByte(html[open:], '>') + 1
		end := strings.LastIndex(html, "</body>")
		html = html[:open] + strings.Repeat(html[open:end], p.times) + html[end:]
		original, treated, err := mark(ctx, l, binary, html)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.from, err)
		}
		size := fmt.Sprintf("%d KB", len(original)/1000)
		pages = append(pages, page{p.from, size, original, treated})
	}
	return pages, nil
}

// mark puts the regions into a page, and gives it with the old and the new
// content.
func mark(ctx context.Context, l *lab.Lab, binary, html string) (original, treated string, err error) {
	swapped, err := l.Write("swapped.html", "swapped")
	if err != nil {
		return "", "", err
	}
	for _, r := range regions {
		before, ok := "", false
		for at := int(float64(len(html)) * r.at); !ok; {
			next := -1
			for _, end := range []string{"</p>", "</li>", "</div>", "</dd>"} {
				if i := strings.Index(html[at:], end); i >= 0 && (next < 0 || at+i+len(end) < next) {
					next = at + i + len(end)
				}
			}
			if next < 0 {
				return "", "", fmt.Errorf("no place for the region %s", r.name)
			}
			at = next
			before = html[:at]
			if strings.HasSuffix(before, "</li>") { // a list has items only
				continue
			}
			candidate := before + element(r.name, r.was) + html[at:]
			file, err := l.Write("candidate.html", candidate)
			if err != nil {
				return "", "", err
			}
			out, err := lab.Output(ctx, l.Dir, binary, "rewrite", "--set", r.name+"="+swapped, file)
			if err != nil {
				return "", "", err
			}
			if ok = out == before+element(r.name, "swapped")+html[at:]; ok {
				html = candidate
			}
		}
	}
	treated = html
	for _, r := range regions {
		treated = strings.Replace(treated, element(r.name, r.was), element(r.name, r.now), 1)
	}
	return html, treated, nil
}

func element(name, content string) string {
	return fmt.Sprintf(`<div data-surface="%s">%s</div>`, name, content)
}
