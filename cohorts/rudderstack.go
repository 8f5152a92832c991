package cohorts

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
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
	raw, err := payload(w, r)
	if err != nil {
		return err
	}
	names := []string{"user_id", "userId", "external_id", "id", "anonymous_id", "anonymousId"}
	list := members{names: names}
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		err = decode(raw, &list)
	} else {
		m := struct {
			Users   members `json:"users"`
			Members members `json:"members"`
			Records members `json:"records"`
		}{list, list, list}
		err = decode(raw, &m)
		for _, l := range []members{m.Users, m.Members, m.Records} {
			if l.told {
				list = l
				break
			}
		}
	}
	if err != nil {
		return err
	}
	if !list.told {
		return events.Refuse(events.RefusedType, "users must be an array")
	}
	units := visitors(list.ids)
	if leave {
		return h.change(r.Context(), name, store.Change{Remove: units})
	}
	return h.change(r.Context(), name, store.Change{Add: added(units)})
}
