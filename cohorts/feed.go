package cohorts

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// Limits of a message. Amplitude sends up to 10 000 users in one, Segment up to
// 4000 events.
const (
	maxBody    = 16 << 20 // bytes, after decompression
	maxInBatch = 50_000   // members
)

// Feed is a vendor that tells its mount of its cohorts. It is not changed once
// in use.
type Feed struct {
	rules.CohortFeed
	Keeper Keeper
	// Now is the clock. Nil is time.Now.
	Now func() time.Time
	// Refused, if set, is called once for each refused message, with one of
	// events.RefusedReasons, before the answer.
	Refused func(reason string)
}

// Handler returns the handler of a vendor's messages, nil if there is none of
// that name. The mount's prefix must be stripped before. It is safe for
// concurrent use.
func Handler(vendor string, f Feed) http.Handler {
	switch vendor {
	case "mixpanel":
		return &mixpanel{f}
	case "amplitude":
		return &amplitude{f}
	case "segment":
		return &segment{f}
	case "rudderstack":
		return &rudderstack{f}
	case "braze":
		return &braze{f}
	}
	return nil
}

type reply map[string]any

// allows says whether the request presents the token, in any of the ways in
// which senders can be told to: as a bearer, as the user or the password of
// HTTP Basic, as the whole of Authorization, or in a header of its own.
func (f *Feed) allows(r *http.Request, token string) bool {
	header := r.Header.Get("Authorization")
	presented := []string{header, r.Header.Get("X-Refract-Token"), r.Header.Get("X-Api-Key")}
	if scheme, rest, ok := strings.Cut(header, " "); ok && strings.EqualFold(scheme, "bearer") {
		presented = append(presented, strings.TrimSpace(rest))
	}
	if user, password, ok := r.BasicAuth(); ok {
		presented = append(presented, user, password)
	}
	m := ingest.Mount{Key: token}
	return m.Allows(presented...)
}

// posted refuses a message that is not posted.
func posted(r *http.Request) error {
	if r.Method != http.MethodPost {
		return events.Refuse(events.RefusedMethod, "cohorts are sent by POST")
	}
	return nil
}

// refuse counts a message that isn't taken, and returns what to answer.
func (f *Feed) refuse(w http.ResponseWriter, err error) ingest.Answer {
	if errors.Is(err, store.ErrPage) {
		err = events.Refuse(events.RefusedLimit, "%v", err)
	}
	m := ingest.Mount{Refused: f.Refused}
	a := m.Refuse(w, err)
	if a.Status == http.StatusServiceUnavailable {
		a.Text = "the members could not be stored: try again"
	}
	return a
}

// answer says that the message is taken, or why not.
func (f *Feed) answer(w http.ResponseWriter, err error) {
	if err != nil {
		a := f.refuse(w, err)
		ingest.WriteJSON(w, a.Status, reply{"success": false, "error": a.Text})
		return
	}
	ingest.WriteJSON(w, http.StatusOK, reply{"success": true})
}

func (f *Feed) change(ctx context.Context, name string, c store.Change) error {
	return f.Keeper.ChangeCohort(ctx, name, f.MaxAge, c)
}

func (f *Feed) now() time.Time {
	if f.Now != nil {
		return f.Now()
	}
	return time.Now()
}

// cohortName returns the name of a vendor's cohort by its id there.
func cohortName(vendor, field, id string) (string, error) {
	name := vendor + "/" + id
	if id == "" {
		return "", events.Refuse(events.RefusedID, "%s is needed", field)
	}
	if len(name) > events.MaxName || !rules.CohortName(name) {
		return "", events.Refuse(events.RefusedID, "%s can't be the id of a cohort: it has a space or a slash, or is too long", field)
	}
	return name, nil
}

// visitors returns visitors by their ids.
func visitors(ids []string) []segments.Unit {
	units := make([]segments.Unit, len(ids))
	for i, id := range ids {
		units[i] = segments.Unit{Who: segments.Visitor, ID: id}
	}
	return units
}

func added(units []segments.Unit) []store.Member {
	list := make([]store.Member, len(units))
	for i, u := range units {
		list[i].Unit = u
	}
	return list
}
