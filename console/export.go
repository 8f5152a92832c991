package console

import (
	"fmt"
	"net/http"
	"time"

	"github.com/seed14307185/refract/export"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

var exportTypes = map[string]string{
	"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet",
}

// exportPatience is how long an asker may take nothing: what they read from
// keeps its place on disk for so long.
const exportPatience = time.Minute

// export streams the units that were exposed, in every run that is known or in
// those of one rule, as they were at one moment. Where it can't go on, the
// connection breaks: an answer that ends is whole.
func (c *Console) export(w http.ResponseWriter, r *http.Request) {
	kind, format, rule := r.PathValue("kind"), r.FormValue("format"), r.FormValue("rule")
	if format == "" {
		format = "csv"
	}
	var since time.Time
	if q := r.FormValue("since"); q != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, q); err != nil {
			fail(w, http.StatusBadRequest, fmt.Errorf("since %q is not a time like 2026-03-01T00:00:00Z", q))
			return
		}
	}
	to := &patient{w: w, control: http.NewResponseController(w)}
	out, err := export.NewWriter(to, kind, format)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if runs, err := c.Store.Runs(r.Context(), rule); err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	} else if rule != "" && len(runs) == 0 {
		fail(w, http.StatusNotFound, store.ErrNoRule)
		return
	}
	w.Header().Set("Content-Type", exportTypes[format])
	w.Header().Set("Cache-Control", "no-store")
	err = c.Store.Enrolments(r.Context(), func(run *store.Run) bool { return rule == "" || run.Rule == rule },
		func(run *store.Run, u segments.Unit, n *outcomes.Enrolment) error {
			if !since.IsZero() && n.At < since.UnixMilli() {
				return nil
			}
			row := export.Of(run, u, n)
			return out.Write(&row)
		})
	if err == nil {
		err = out.Close()
	}
	switch {
	case err == nil:
	case !to.began:
		fail(w, http.StatusServiceUnavailable, err)
	default:
		panic(http.ErrAbortHandler) // the asker sees that it is not whole
	}
}

// patient is an asker who has exportPatience for each write.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
	began   bool
}

func (p *patient) Write(b []byte) (int, error) {
	p.began = true
	if err := p.control.SetWriteDeadline(time.Now().Add(exportPatience)); err != nil {
		return 0, err
	}
	return p.w.Write(b)
}
