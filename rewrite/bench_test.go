package rewrite_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// benchPage is a page of about 100 KB such as a server renders, with three
// regions: near the top, in the middle, at the end.
func benchPage() string {
	var b strings.Builder
	b.WriteString("<!doctype html><html lang=en><head><meta charset=utf-8><title>Projects</title><link rel=stylesheet href=/app.css>")
	b.WriteString("<script>window.app = {flags: [" + strings.Repeat(`"some-flag", `, 400) + "]}</script></head><body class=page>")
	region := func(name string) {
		fmt.Fprintf(&b, `<section class="card" data-surface="%s"><h2>Project</h2>%s</section>`, name, strings.Repeat("<p>Nothing <b>here</b> yet.</p>", 20))
	}
	rows := func(n int) {
		for i := range n {
			fmt.Fprintf(&b, `<article class="row row--%d" id="row-%d"><a href="/projects/%d?tab=activity&amp;sort=asc" class="link">Project number %d</a><p>%s</p><ul><li>one<li>two</ul><img src="/i/%d.png" alt=""></article>`+"\n", i%3, i, i, i, strings.Repeat("Some words about it. ", 6), i)
		}
	}
	rows(5)
	region("top")
	rows(160)
	region("middle")
	rows(160)
	region("end")
	b.WriteString("</body></html>")
	return b.String()
}

func BenchmarkReader(b *testing.B) {
	page := benchPage()
	plan := func(replace bool, names ...string) rewrite.Plan {
		p := rewrite.Plan{ContentType: "text/html; charset=utf-8"}
		for _, name := range names {
			p.Surfaces = append(p.Surfaces, rewrite.Surface{Name: name, Replace: replace, HTML: []byte("<h2>New</h2><p>Invite a <a href=/invite>teammate</a>.</p>")})
		}
		return p
	}
	for _, c := range []struct {
		name string
		page string
		plan rewrite.Plan
	}{
		{"plain", page, plan(true, "nowhere")},
		{"three-regions", page, plan(true, "top", "middle", "end")},
		{"three-regions-control", page, plan(false, "top", "middle", "end")},
		{"one-region-at-top", page, plan(true, "top")},
		{"unclosed", strings.Replace(page, "</section>", "", 1), plan(true, "top", "end")},
		{"nothing-wanted", page, plan(true)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.page)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.Copy(io.Discard, struct{ io.Reader }{rewrite.NewReader(strings.NewReader(c.page), c.plan)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
