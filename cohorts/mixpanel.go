package cohorts

import (
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// mixpanel takes Mixpanel's custom webhook. A cohort comes as a whole (members)
// or as what changed (add_members, remove_members), in pages of a thousand. It
// repeats what was answered by a 5xx; a 400, 401, 403 or 404 pauses the sync
// until its owner starts it again.
type mixpanel struct{ Feed }

func (h *mixpanel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	action, err := h.take(w, r)
	if err == nil {
		ingest.WriteJSON(w, http.StatusOK, reply{"action": action, "status": "success"})
		return
	}
	a := h.refuse(w, err)
	ingest.WriteJSON(w, a.Status, reply{"action": action, "status": "failure", "error": reply{"message": a.Text, "code": a.Status}})
}

// authorised says whether the request shows the user's name and the password.
func (h *mixpanel) authorised(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	m := ingest.Mount{Key: h.User + "\x00" + h.Password}
	return m.Allows(user+"\x00"+password) && h.Password != ""
}

func (h *mixpanel) take(w http.ResponseWriter, r *http.Request) (action string, err error) {
	if strings.Trim(r.URL.Path, "/") != "" {
		return "", ingest.NoPath()
	}
	if !h.authorised(r) {
		return "", ingest.BadKey("user or the password")
	}
	raw, err := h.body(w, r)
	if err != nil {
		return "", err
	}
	f, err := ingest.Decode(raw)
	if err != nil {
		return "", err
	}
	if action, err = f.Text("action"); err != nil {
		return "", err
	}
	p, err := f.Object("parameters")
	if err != nil {
		return action, err
	}
	id, err := p.ID("mixpanel_cohort_id")
	if err != nil {
		return action, err
	}
	name, err := cohortName("mixpanel", "mixpanel_cohort_id", id)
	if err != nil {
		return action, err
	}
	var units []segments.Unit
	if p["members"] != nil {
		if units, err = members("members", p["members"], segments.Visitor, "mixpanel_distinct_id"); err != nil {
			return action, err
		}
	}
	for i, u := range units { // as events and the cookie have it
		units[i].ID = strings.TrimPrefix(u.ID, "$device:")
	}
	switch action {
	case "add_members":
		return action, h.change(r.Context(), name, store.Change{Add: added(units)})
	case "remove_members":
		return action, h.change(r.Context(), name, store.Change{Remove: units})
	case "members":
		page, err := h.page(p, units)
		if err != nil {
			return action, err
		}
		_, err = h.Keeper.StagePage(r.Context(), name, h.MaxAge, page)
		return action, err
	}
	return action, events.Refuse(events.RefusedType, "action must be members, add_members or remove_members")
}

// page reads which page of which delivery the members are.
func (h *mixpanel) page(p ingest.Fields, units []segments.Unit) (store.Page, error) {
	page := store.Page{Number: 1, Of: 1, Members: units}
	var err error
	if page.Session, err = p.ID("mixpanel_session_id"); err != nil {
		return page, err
	}
	info, err := p.Object("page_info")
	if err != nil {
		return page, err
	}
	for field, to := range map[string]*int{"page_count": &page.Number, "total_pages": &page.Of} {
		switch n := info[field].(type) {
		case nil:
		case float64:
			if n != float64(int32(n)) {
				return page, events.Refuse(events.RefusedType, "%s must be a whole number", field)
			}
			*to = int(n)
		default:
			return page, events.Refuse(events.RefusedType, "%s must be a number", field)
		}
	}
	if page.Session == "" {
		return page, events.Refuse(events.RefusedID, "mixpanel_session_id is needed")
	}
	return page, nil
}
