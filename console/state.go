package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed14307185/refract/store"
)

// State is what was live at a time, by the ledger. It is the answer of GET
// /api/state.
type State struct {
	At       time.Time         `json:"at"`
	Entry    uint64            `json:"entry"`    // the ledger's last until then
	Revision string            `json:"revision"` // that was loaded
	Loaded   time.Time         `json:"loaded"`   // and when
	Rules    []store.PastRule  `json:"rules"`
	Files    map[string]string `json:"files,omitempty"` // of the site directory, if they were asked for
}

var errNothingThen = errors.New("nothing was loaded then: the ledger begins later\nhint: refract ledger shows it")

// state answers what was live at ?at=, an RFC 3339 time; left out: now. The
// files, ?files=true, may hold secrets that somebody wrote into refract.yaml.
func (c *Console) state(w http.ResponseWriter, r *http.Request) {
	query, at, files := r.URL.Query(), c.Now(), false
	err := parameter(query, "at", &at, func(s string) (time.Time, error) { return time.Parse(time.RFC3339, s) })
	if err == nil {
		err = parameter(query, "files", &files, parseTruth)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	var past store.Past
	err = c.entries(r, func(e *store.Entry) bool {
		if e.At.After(at) {
			return false
		}
		past.Add(e)
		return true
	})
	if err == nil && past.Load.Seq == 0 {
		fail(w, http.StatusNotFound, errNothingThen)
		return
	}
	var site *store.Site
	if err == nil {
		site, err = c.Store.Site(&past.Load)
	}
	switch {
	case errors.Is(err, store.ErrNoSite):
		fail(w, http.StatusNotFound, err)
		return
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	is := State{At: at.UTC(), Entry: past.Last.Seq, Revision: past.Load.Revision, Loaded: past.Load.At, Rules: past.Rules(site, at)}
	if files {
		is.Files = site.Files
	}
	reply(w, is)
}

// entries calls f for each entry of the ledger, from the first on, until it
// returns false.
func (c *Console) entries(r *http.Request, f func(*store.Entry) bool) error {
	for from := uint64(1); ; {
		lines, err := c.Store.Ledger(r.Context(), from, LedgerPage)
		if err != nil {
			return err
		}
		for _, line := range lines {
			var e store.Entry
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("the ledger, after entry %d: %w", from-1, err)
			}
			if !f(&e) {
				return nil
			}
			from = e.Seq + 1
		}
		if len(lines) < LedgerPage {
			return nil
		}
	}
}
