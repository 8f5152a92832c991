package console

import "net/http"

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
