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
	if err := posted(r); err != nil {
		return "", err
	}
	var m struct {
		Action     word `json:"action"`
		Parameters struct {
			Cohort  word     `json:"mixpanel_cohort_id"`
			Session word     `json:"mixpanel_session_id"`
			Page    pageInfo `json:"page_info"`
			Members members  `json:"members"`
		} `json:"parameters"`
	}
	p := &m.Parameters
	p.Members.names = []string{"mixpanel_distinct_id"}
	err = receive(w, r, &m)
	action = string(m.Action)
	if err != nil {
		return action, err
	}
	name, err := cohortName("mixpanel", "mixpanel_cohort_id", string(p.Cohort))
	if err != nil {
		return action, err
	}
	var units []segments.Unit
	for _, id := range p.Members.ids { // as events and the cookie have it
		if id = strings.TrimPrefix(id, "$device:"); id != "" {
			units = append(units, segments.Unit{Who: segments.Visitor, ID: id})
		}
	}
	switch action {
	case "add_members":
		return action, h.change(r.Context(), name, store.Change{Add: added(units)})
	case "remove_members":
		return action, h.change(r.Context(), name, store.Change{Remove: units})
	case "members":
		page := store.Page{Session: string(p.Session), Members: units}
		if page.Number, page.Of, err = p.Page.read(); err != nil {
			return action, err
		}
		if !p.Members.told {
			return action, events.Refuse(events.RefusedType, "members must be an array")
		}
		if page.Session == "" {
			return action, events.Refuse(events.RefusedID, "mixpanel_session_id is needed")
		}
		_, err = h.Keeper.StagePage(r.Context(), name, h.MaxAge, page)
		return action, err
	}
	return action, events.Refuse(events.RefusedType, "action must be members, add_members or remove_members")
}

// pageInfo says which page of which delivery a message is.
type pageInfo struct {
	Number *float64 `json:"page_count"`
	Of     *float64 `json:"total_pages"`
}

// read returns which page it is, of how many: the only one, where there is
// nothing to be paged.
func (p *pageInfo) read() (number, of int, err error) {
	number, of = 1, 1
	for to, n := range map[*int]*float64{&number: p.Number, &of: p.Of} {
		if n == nil {
			continue
		}
		if *n != float64(int32(*n)) {
			return 0, 0, events.Refuse(events.RefusedType, "page_count and total_pages must be whole numbers")
		}
		*to = int(*n)
	}
	if of == 0 && number <= 1 {
		return 1, 1, nil
	}
	return number, of, nil
}
