package console

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/seed14307185/refract/rules"
)

//go:embed page.html
var pageHTML string

// pageTemplate is parsed when it is first shown: commands start without it.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"when":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") },
		"duration": func(seconds int64) string { return rules.FormatDuration(time.Duration(seconds) * time.Second) },
	}).Parse(pageHTML))
})

// pageData is what the page of all rules is made of.
type pageData struct {
	Status
	Cohorts []Cohort
	Now     time.Time
}

// page shows the status to a person. It is read-only and has no script.
func (c *Console) page(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	err := pageTemplate().Execute(&b, pageData{c.status(), Cohorts(c.Loaded(), c.Store.Cohorts(), c.Now()), c.Now()})
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = b.WriteTo(w) // the asker's loss
}
