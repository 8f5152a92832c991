package console

import (
	"errors"
	"net/http"

	"github.com/seed14307185/refract/store"
)

// receipts answers with the stops on record of ?rule=NAME, or of every rule, as
// a list of [store.Stop], the oldest first.
func (c *Console) receipts(w http.ResponseWriter, r *http.Request) {
	stops, err := c.Store.Receipts(r.Context(), r.URL.Query().Get("rule"))
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, stops)
}

// drill rehearses the rollback of a rule and answers with a [store.Drill].
func (c *Console) drill(w http.ResponseWriter, r *http.Request) {
	by, ok := whoAsks(w, r)
	if !ok {
		return
	}
	done, err := c.Drill(r.Context(), r.PathValue("rule"), by.Who)
	switch {
	case errors.Is(err, store.ErrNoRule):
		fail(w, http.StatusNotFound, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	default:
		reply(w, done)
	}
}
