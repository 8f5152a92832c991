package cohorts

import (
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// amplitude takes Amplitude's cohort webhook at its root, and below /lists its
// list-based cohort sync. The webhook wants its answer within a second or two,
// and repeats a message whose answer it didn't get, with the same message_id.
type amplitude struct{ Feed }

func (h *amplitude) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.allows(r, h.Token) {
		h.answer(w, ingest.BadKey("token"))
		return
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(path) == 1 && path[0] == "":
		h.answer(w, h.webhook(w, r))
	case len(path) == 1 && path[0] == "lists":
		id, err := h.create(w, r)
		if err != nil {
			h.answer(w, err)
			return
		}
		ingest.WriteJSON(w, http.StatusOK, reply{"success": true, "id": id})
	case len(path) == 3 && path[0] == "lists" && (path[2] == "add" || path[2] == "remove"):
		h.answer(w, h.list(w, r, path[1], path[2] == "add"))
	default:
		h.answer(w, ingest.NoPath())
	}
}

func (h *amplitude) message(w http.ResponseWriter, r *http.Request) (ingest.Fields, error) {
	raw, err := h.body(w, r)
	if err != nil {
		return nil, err
	}
	return ingest.Decode(raw)
}

func (h *amplitude) webhook(w http.ResponseWriter, r *http.Request) error {
	f, err := h.message(w, r)
	if err != nil {
		return err
	}
	id, err := f.ID("cohort_id")
	if err != nil {
		return err
	}
	name, err := cohortName("amplitude", "cohort_id", id)
	if err != nil {
		return err
	}
	enters, known := truth(f["in_cohort"])
	if !known {
		return events.Refuse(events.RefusedType, "in_cohort must be true or false")
	}
	units, err := members("users", f["users"], segments.Visitor, "user_id", "device_id")
	if err != nil {
		return err
	}
	message, err := f.Text("message_id")
	if err != nil {
		return err
	}
	c := store.Change{Message: message, Remove: units}
	if enters {
		c = store.Change{Message: message, Add: added(units)}
	}
	return h.change(r.Context(), name, c)
}

// create returns the id that a list has here: its cohort's id in Amplitude,
// which its name ends with. Nothing has to be remembered for that.
func (h *amplitude) create(w http.ResponseWriter, r *http.Request) (string, error) {
	f, err := h.message(w, r)
	if err != nil {
		return "", err
	}
	name, err := f.Text("name")
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(name[strings.LastIndexByte(name, ':')+1:])
	if _, err := cohortName("amplitude", "name", id); err != nil {
		return "", events.Refuse(events.RefusedID, `name must end with the cohort's id: "[Amplitude] NAME: ID"`)
	}
	return id, nil
}

func (h *amplitude) list(w http.ResponseWriter, r *http.Request, id string, enters bool) error {
	name, err := cohortName("amplitude", "the list's id", id)
	if err != nil {
		return err
	}
	f, err := h.message(w, r)
	if err != nil {
		return err
	}
	units, err := members("userIds", f["userIds"], segments.Visitor, "user_id", "userId", "id")
	if err != nil {
		return err
	}
	if enters {
		return h.change(r.Context(), name, store.Change{Add: added(units)})
	}
	return h.change(r.Context(), name, store.Change{Remove: units})
}
