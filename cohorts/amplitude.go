package cohorts

import (
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
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
	if err := posted(r); err != nil {
		h.answer(w, err)
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

func (h *amplitude) webhook(w http.ResponseWriter, r *http.Request) error {
	var m struct {
		Cohort  word    `json:"cohort_id"`
		Enters  flag    `json:"in_cohort"`
		Message word    `json:"message_id"`
		Users   members `json:"users"`
	}
	m.Users.names = []string{"user_id", "device_id"}
	if err := receive(w, r, &m); err != nil {
		return err
	}
	name, err := cohortName("amplitude", "cohort_id", string(m.Cohort))
	switch {
	case err != nil:
		return err
	case !m.Enters.told:
		return events.Refuse(events.RefusedType, "in_cohort must be true or false")
	case !m.Users.told:
		return events.Refuse(events.RefusedType, "users must be an array")
	}
	c := store.Change{Message: string(m.Message), Remove: visitors(m.Users.ids)}
	if m.Enters.is {
		c = store.Change{Message: c.Message, Add: added(c.Remove)}
	}
	return h.change(r.Context(), name, c)
}

// create returns the id that a list has here: its cohort's id in Amplitude,
// which its name ends with. Nothing has to be remembered for that.
func (h *amplitude) create(w http.ResponseWriter, r *http.Request) (string, error) {
	var m struct {
		Name string `json:"name"`
	}
	if err := receive(w, r, &m); err != nil {
		return "", err
	}
	id := strings.TrimSpace(m.Name[strings.LastIndexByte(m.Name, ':')+1:])
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
	var m struct {
		IDs   members `json:"userIds"`
		Users members `json:"users"`
	}
	names := []string{"user_id", "userId", "id", "device_id", "deviceId"}
	m.IDs.names, m.Users.names = names, names
	if err := receive(w, r, &m); err != nil {
		return err
	}
	if !m.IDs.told && !m.Users.told {
		return events.Refuse(events.RefusedType, "userIds must be an array")
	}
	units := visitors(append(m.IDs.ids, m.Users.ids...))
	if enters {
		return h.change(r.Context(), name, store.Change{Add: added(units)})
	}
	return h.change(r.Context(), name, store.Change{Remove: units})
}
