package cohorts

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

func mixpanelMessage(action, session string, page, of int, ids ...string) string {
	list := []reply{}
	for _, id := range ids {
		list = append(list, reply{"email": id + "@example.com", "mixpanel_distinct_id": id, "first_name": "", "phone_number": nil})
	}
	b, err := json.Marshal(reply{"action": action, "parameters": reply{
		"mixpanel_project_id": "3187772", "mixpanel_cohort_name": "Stuck in setup", "mixpanel_cohort_id": "4413091",
		"mixpanel_cohort_description": "", "mixpanel_session_id": session,
		"page_info": reply{"total_pages": of, "page_count": page}, "members": list,
	}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestMixpanel(t *testing.T) {
	const cohort = "mixpanel/4413091"
	e := serve(t, "mixpanel", rules.CohortFeed{User: "mp", Password: "secret"})
	post := func(when, body string, status int, want string) {
		t.Helper()
		got, text := e.send("POST", "", body, basic("mp", "secret")...)
		e.answers(when, got, text, want, status)
	}
	post("a first difference", mixpanelMessage("add_members", "s0", 1, 1, "ann", "$device:bob", ""), 200, `{"action":"add_members","status":"success"}`)
	e.is("after it", cohort, "ann bob")
	post("page 2 of 2", mixpanelMessage("members", "s1", 2, 2, "cid"), 200, `{"action":"members","status":"success"}`)
	e.is("half delivered", cohort, "ann bob")
	post("page 2 again", mixpanelMessage("members", "s1", 2, 2, "cid"), 200, `"success"`)
	e.is("half delivered, twice", cohort, "ann bob")
	post("page 1 of 2", mixpanelMessage("members", "s1", 1, 2, "$device:dee"), 200, `"success"`)
	e.is("when it is whole", cohort, "cid dee")
	post("page 1 again", mixpanelMessage("members", "s1", 1, 2, "$device:dee"), 200, `"success"`)
	post("who left", mixpanelMessage("remove_members", "s2", 1, 1, "cid", "nobody"), 200, `{"action":"remove_members","status":"success"}`)
	post("nothing changed", mixpanelMessage("add_members", "s3", 1, 1), 200, `"success"`)
	e.is("after differences", cohort, "dee")
	post("a device without an id", mixpanelMessage("add_members", "s4", 1, 1, "$device:"), 200, `"success"`)

	failure := `"status":"failure"`
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"no action":       {`{"action":"","parameters":{"mixpanel_cohort_id":"4413091","members":[]}}`, 400},
		"another action":  {mixpanelMessage("replace_members", "s", 1, 1), 400},
		"no cohort":       {`{"action":"members","parameters":{}}`, 400},
		"an odd cohort":   {`{"action":"members","parameters":{"mixpanel_cohort_id":"a/b"}}`, 400},
		"no session":      {`{"action":"members","parameters":{"mixpanel_cohort_id":"4413091","members":[]}}`, 400},
		"page 3 of 2":     {mixpanelMessage("members", "s9", 3, 2, "ann"), 400},
		"page 1.5":        {`{"action":"members","parameters":{"mixpanel_cohort_id":"1","mixpanel_session_id":"s","page_info":{"page_count":1.5}}}`, 400},
		"members no list": {`{"action":"members","parameters":{"mixpanel_cohort_id":"1","members":{}}}`, 400},
		"no members":      {`{"action":"members","parameters":{"mixpanel_cohort_id":"4413091","mixpanel_session_id":"s"}}`, 400},
		"truncated":       {`{"action":"members","parameters":{"mix`, 400},
		"no object":       {`[]`, 400},
		"nothing":         {``, 400},
		"deep":            {strings.Repeat("[", 100), 400},
		"long":            {`"` + strings.Repeat("x", maxBody) + `"`, 413},
		"a bomb":          {bomb(t), 413},
	} {
		post(name, c.body, c.status, failure)
	}
	for name, header := range map[string][]string{
		"no password": nil, "another password": basic("mp", "x"), "another user": basic("x", "secret"), "an empty one": basic("mp", ""),
	} {
		status, text := e.send("POST", "", mixpanelMessage("members", "s8", 1, 1), header...)
		e.answers(name, status, text, `"code":401`, 401)
	}
	status, text := e.send("GET", "", "", basic("mp", "secret")...)
	e.answers("by GET", status, text, failure, 405)
	e.is("after all that", cohort, "dee")
	post("an empty cohort, in no pages", mixpanelMessage("members", "s10", 0, 0), 200, `"success"`)
	e.is("when it is empty", cohort, "")
	if len(e.refused) < 15 {
		t.Errorf("counted as refused: %v", e.refused)
	}
}

// BenchmarkDelivery has Mixpanel deliver a million members in a thousand pages,
// one after the other as it does: the last is answered when all of them are
// members.
func BenchmarkDelivery(b *testing.B) {
	s, err := store.Open(store.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler), Reserve: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	h := Handler("mixpanel", Feed{CohortFeed: rules.CohortFeed{User: "mp", Password: "secret"}, Keeper: s})
	const pages, perPage = 1000, 1000
	for n := 0; b.Loop(); n++ {
		var last time.Duration
		for page := range pages {
			ids := make([]string, perPage)
			for i := range ids {
				ids[i] = fmt.Sprintf("user-%d", page*perPage+i)
			}
			r := httptest.NewRequest("POST", "/", strings.NewReader(mixpanelMessage("members", fmt.Sprint("s", n), page+1, pages, ids...)))
			r.SetBasicAuth("mp", "secret")
			w := httptest.NewRecorder()
			begun := time.Now()
			if h.ServeHTTP(w, r); w.Code != 200 {
				b.Fatal(w.Code, w.Body)
			}
			last = time.Since(begun)
		}
		b.ReportMetric(last.Seconds(), "s-last-page")
	}
	if n := s.Cohorts()["mixpanel/4413091"].Members; n != pages*perPage {
		b.Fatal(n)
	}
}
