package cohorts

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// braze takes the webhook of a campaign or a Canvas: one user a message, whose
// body is ours to say. Braze doesn't tell when a user leaves a segment, so that
// a member has an end. It repeats what was answered by 408, 429 or 5xx.
type braze struct{ Feed }

// maxTTL bounds how long a member may stay one, in seconds: ten years.
const maxTTL = 10 * 366 * 24 * 3600

func (h *braze) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h.take(w, r)
	if err == nil {
		h.answer(w, nil)
		return
	}
	a := h.refuse(w, err)
	if a.Status == http.StatusServiceUnavailable {
		// Where there are too many of these, Braze halts all that it sends to the
		// host for a minute; a 500 is none of them, and is repeated too.
		a.Status = http.StatusInternalServerError
	}
	ingest.WriteJSON(w, a.Status, reply{"success": false, "error": a.Text})
}

func (h *braze) take(w http.ResponseWriter, r *http.Request) error {
	if strings.Trim(r.URL.Path, "/") != "" {
		return ingest.NoPath()
	}
	if !h.allows(r, h.Token) {
		return ingest.BadKey("token")
	}
	if err := posted(r); err != nil {
		return err
	}
	var m struct {
		Segment  word `json:"segment"`
		Op       word `json:"op"`
		External word `json:"external_id"`
		Device   word `json:"device_id"`
		Braze    word `json:"braze_id"`
		TTL      any  `json:"ttl_s"`
	}
	if err := receive(w, r, &m); err != nil {
		return err
	}
	name, err := cohortName("braze", "segment", string(m.Segment))
	if err != nil {
		return err
	}
	var user string
	for _, id := range []word{m.External, m.Device, m.Braze} {
		if user = strings.TrimSpace(string(id)); user != "" {
			break
		}
	}
	if user == "" {
		return events.Refuse(events.RefusedID, "external_id is needed, or device_id or braze_id")
	}
	unit := segments.Unit{Who: segments.Visitor, ID: user}
	switch {
	case m.Op == "remove":
		return h.change(r.Context(), name, store.Change{Remove: []segments.Unit{unit}})
	case m.Op != "" && m.Op != "add":
		return events.Refuse(events.RefusedType, "op must be add or remove")
	}
	end, err := h.end(m.TTL)
	if err != nil {
		return err
	}
	return h.change(r.Context(), name, store.Change{Add: []store.Member{{Unit: unit, Until: end}}})
}

// end is when a member ceases to be one, zero: when they are removed.
func (h *braze) end(ttl any) (time.Time, error) {
	d := h.Expires
	var seconds float64
	switch v := ttl.(type) {
	case nil:
	case float64:
		seconds = v
	case string:
		if v = strings.TrimSpace(v); v == "" {
			break
		}
		var err error
		if seconds, err = strconv.ParseFloat(v, 64); err != nil {
			return time.Time{}, events.Refuse(events.RefusedType, "ttl_s must be a number of seconds")
		}
	default:
		return time.Time{}, events.Refuse(events.RefusedType, "ttl_s must be a number of seconds")
	}
	if seconds != 0 {
		if !(seconds >= 1 && seconds <= maxTTL) {
			return time.Time{}, events.Refuse(events.RefusedType, "ttl_s must be between 1 and %d", maxTTL)
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	if d == 0 {
		return time.Time{}, nil
	}
	return h.now().Add(d), nil
}
