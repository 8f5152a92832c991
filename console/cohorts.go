package console

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/seed14307185/refract/cohorts"
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Cohort is another system's cohort, as it stands.
type Cohort struct {
	Name    string    `json:"name"`
	Members int       `json:"members"`
	Synced  time.Time `json:"synced,omitzero"` // when its owner last told of it; absent: never
	Age     int64     `json:"age_seconds"`     // since then
	MaxAge  int64     `json:"max_age_seconds"` // that it is believed for; 0: for ever
	Expired bool      `json:"expired"`         // true for nobody: it is older, or was never delivered
	// Segments are those that ask for it.
	Segments []string `json:"segments"`
}

// Membership is the answer to an upload, and what there was of a cohort that is
// dropped.
type Membership struct {
	Name    string    `json:"name"`
	Members int       `json:"members"`
	Synced  time.Time `json:"synced"`
}

// maxUnread is how much is taken of an upload that is refused.
const maxUnread = 1 << 30

// Cohorts lists the cohorts that were delivered or that segments of the set ask
// for, by name.
func Cohorts(set *rules.Set, delivered map[string]store.Cohort, now time.Time) []Cohort {
	asking := map[string][]string{}
	for _, s := range set.Segments {
		for _, name := range s.Names().Cohorts {
			asking[name] = append(asking[name], s.Name)
		}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(delivered)), maps.Keys(asking))
	slices.Sort(names)
	list := []Cohort{}
	for _, name := range slices.Compact(names) {
		known, ok := delivered[name]
		c := Cohort{Name: name, Expired: true, Segments: append([]string{}, asking[name]...)}
		if ok {
			age := max(0, now.Sub(known.Synced))
			c.Members, c.Synced = known.Members, known.Synced
			c.Age, c.MaxAge = int64(age/time.Second), int64(known.Limit/time.Second)
			c.Expired = known.Limit > 0 && age >= known.Limit
		}
		list = append(list, c)
	}
	return list
}

func (c *Console) cohorts(w http.ResponseWriter, _ *http.Request) {
	reply(w, Cohorts(c.Loaded(), c.Store.Cohorts(), c.Now()))
}

// upload makes the ids in the body the members of a cohort. Until all of them
// were read and are on disk, its members are those that it had.
func (c *Console) upload(w http.ResponseWriter, r *http.Request) {
	name, set, query := cohortName(r), c.Loaded(), r.URL.Query()
	if !rules.CohortName(name) || len(name) > events.MaxName {
		fail(w, http.StatusBadRequest, fmt.Errorf("%q is not the name of a cohort\nhint: write who keeps it, in small letters, and its id there, such as crm/trial-stuck", name))
		return
	}
	if feed := r.PathValue("word"); set.Edge.Cohorts.Deliver(feed) {
		fail(w, http.StatusConflict, fmt.Errorf("the cohorts %s/… come from %s, by refract.yaml: an upload would last until its next message only\nhint: upload under another word, such as list/%s", feed, feed, r.PathValue("id")))
		return
	}
	from := cohorts.Upload{File: cmp.Or(query.Get("file"), "body"), Column: query.Get("column")}
	limit := set.Edge.Cohorts.MaxAge
	err := parameter(query, "accounts", &from.Accounts, parseTruth)
	if err == nil {
		err = parameter(query, "max_age", &limit, rules.ParseDuration)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	members, err := from.Read(r.Body)
	if err != nil {
		// Who still sends would not see an answer, but a connection that is reset.
		_, _ = io.CopyN(io.Discard, r.Body, maxUnread)
		status := http.StatusBadRequest
		if errors.As(err, new(*cohorts.LineError)) {
			status = http.StatusUnprocessableEntity
		}
		fail(w, status, err)
		return
	}
	if err := c.Store.ReplaceCohort(r.Context(), name, limit, members); err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	is := c.Store.Cohorts()[name]
	if c.record(w, r, store.Entry{Kind: "upload", Cohort: name, Members: is.Members}) {
		reply(w, Membership{name, is.Members, is.Synced})
	}
}

// drop forgets a cohort. One that a vendor keeps comes back with its next message.
func (c *Console) drop(w http.ResponseWriter, r *http.Request) {
	name := cohortName(r)
	is := c.Store.Cohorts()[name]
	err := c.Store.DropCohort(r.Context(), name)
	switch {
	case errors.Is(err, store.ErrNoCohort):
		fail(w, http.StatusNotFound, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	case c.record(w, r, store.Entry{Kind: "drop", Cohort: name, Members: is.Members}):
		reply(w, Membership{name, is.Members, is.Synced})
	}
}

// record puts on record who did it, and why. If it can't, it has answered.
func (c *Console) record(w http.ResponseWriter, r *http.Request, e store.Entry) bool {
	e.Who, e.Why = r.URL.Query().Get("who"), r.URL.Query().Get("why")
	if err := c.Store.Note(r.Context(), e); err != nil {
		fail(w, http.StatusServiceUnavailable, fmt.Errorf("it is done, but not in the ledger: %w", err))
		return false
	}
	return true
}

func cohortName(r *http.Request) string { return r.PathValue("word") + "/" + r.PathValue("id") }

func parseTruth(s string) (bool, error) {
	if s != "true" && s != "false" {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return s == "true", nil
}

// parameter reads a parameter of a query, if it is there.
func parameter[T any](query url.Values, name string, to *T, parse func(string) (T, error)) error {
	if !query.Has(name) {
		return nil
	}
	v, err := parse(query.Get(name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	*to = v
	return nil
}
