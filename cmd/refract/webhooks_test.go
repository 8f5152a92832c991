package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCohortWebhook: who a webhook says is in a cohort gets the response on
// their next page, half a delivery changes nothing, also over a crash, and a
// cohort that is too old is true for nobody.
func TestCohortWebhook(t *testing.T) {
	t.Setenv("HOOK_PASSWORD", "secret")
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/segments/exporters.yaml"), func(s string) string {
		return strings.Replace(s, "did: Report Exported, in_last: 7d", "cohort: mixpanel/4413091", 1)
	})
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return s + "\ncohorts: {mixpanel: {user: mixpanel, password: env:HOOK_PASSWORD, max_age: 2h}}\n"
	})
	visitor := inTreatment(t, dir)
	r := start(t, dir)
	send := func(action, session string, page, of int, ids ...string) (int, string) {
		t.Helper()
		var list []map[string]string
		for _, id := range ids {
			list = append(list, map[string]string{"mixpanel_distinct_id": id})
		}
		b, err := json.Marshal(map[string]any{"action": action, "parameters": map[string]any{
			"mixpanel_cohort_id": "4413091", "mixpanel_session_id": session, "members": list,
			"page_info": map[string]int{"total_pages": of, "page_count": page},
		}})
		if err != nil {
			t.Fatal(err)
		}
		resp, body := r.do(http.MethodPost, "/_refract/cohorts/mixpanel", "", strings.NewReader(string(b)), "Authorization", basicAuth("mixpanel", "secret"))
		return resp.StatusCode, body
	}
	taken := func(action, session string, page, of int, ids ...string) {
		t.Helper()
		if status, body := send(action, session, page, of, ids...); status != http.StatusOK || !strings.Contains(body, `"status":"success"`) {
			t.Fatalf("%s: %d %s", action, status, body)
		}
	}
	treated := func(when string, want bool) {
		t.Helper()
		if r.treats(visitor) != want {
			t.Fatalf("%s: treated: %v", when, !want)
		}
	}
	treated("before the first message", false)
	taken("add_members", "s0", 1, 1, visitor)
	treated("when they entered", true)
	taken("members", "s1", 1, 2, "somebody-else")
	treated("when half of a delivery without them came", true)
	r.kill()
	r = start(t, dir)
	treated("after a crash", true)
	taken("members", "s1", 2, 2, "a-third")
	treated("when it is whole", false)
	taken("add_members", "s2", 1, 1, visitor)
	treated("when they entered again", true)
	r.at(2*time.Hour + time.Minute)
	treated("when nobody has spoken of it for too long", false)
	taken("add_members", "s3", 1, 1)
	treated("when somebody did", true)
	if status, _ := send("members", "s4", 3, 2); status != http.StatusBadRequest {
		t.Errorf("page 3 of 2: %d", status)
	}
	if resp, body := r.do(http.MethodPost, "/_refract/cohorts/braze", "", strings.NewReader("{}")); resp.StatusCode == http.StatusOK {
		t.Errorf("a system that isn't configured is answered with %s", body)
	}
	r.stop()
}

func basicAuth(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}
