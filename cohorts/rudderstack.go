package cohorts

import (
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// rudderstack takes RudderStack's Custom Audience destination: members of
// /audiences/ID/members come by POST, PUT or PATCH, and leave by DELETE. The
// shape of its messages is what its owner has made the template: an array, or an
// object with one.
type rudderstack struct{ Feed }

func (h *rudderstack) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.answer(w, h.take(w, r)) }

func (h *rudderstack) take(w http.ResponseWriter, r *http.Request) error {
	if !h.allows(r, h.Token) {
		return ingest.BadKey("token")
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) != 3 || path[0] != "audiences" || path[2] != "members" {
		return ingest.NoPath()
	}
	name, err := cohortName("rudderstack", "the audience's id", path[1])
	if err != nil {
		return err
	}
	leave := r.Method == http.MethodDelete
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		w.Header().Set("Allow", "POST, PUT, PATCH, DELETE")
		return events.Refuse(events.RefusedMethod, "members come by POST, PUT or PATCH, and leave by DELETE")
	}
	raw, err := ingest.BodyUpTo(w, r, maxBody)
	if err != nil {
		return err
	}
	v, err := events.DecodeJSON(raw)
	if err != nil {
		return err
	}
	if o, ok := v.(map[string]any); ok {
		v = nil
		for _, field := range []string{"users", "members", "records"} {
			if o[field] != nil {
				v = o[field]
				break
			}
		}
	}
	units, err := members("users", v, segments.Visitor, "user_id", "userId", "external_id", "id", "anonymous_id", "anonymousId")
	if err != nil {
		return err
	}
	if leave {
		return h.change(r.Context(), name, store.Change{Remove: units})
	}
	return h.change(r.Context(), name, store.Change{Add: added(units)})
}
