package cohorts

import (
	"testing"

	"github.com/seed14307185/refract/rules"
)

func TestRudderStack(t *testing.T) {
	const cohort = "rudderstack/stuck-in-setup"
	e := serve(t, "rudderstack", rules.CohortFeed{Token: "secret"})
	ask := func(when, method, path, body string, status int, want string) {
		t.Helper()
		got, text := e.send(method, path, body, "X-Api-Key", "secret")
		e.answers(when, got, text, want, status)
	}
	const path = "/audiences/stuck-in-setup/members"
	ask("insert", "POST", path, `{"audienceId":"stuck-in-setup","users":[{"user_id":"ann"},{"external_id":"bob"},{"email":"x@example.com"}]}`, 200, "true")
	ask("update", "PUT", path, `["cid",7]`, 200, "true")
	e.is("after both", cohort, "ann bob cid 7")
	ask("delete", "DELETE", path, `{"members":[{"id":"ann"},"7"]}`, 200, "true")
	e.is("after a delete", cohort, "bob cid")
	ask("no list", "POST", path, `{"audienceId":"stuck-in-setup"}`, 400, "array")
	ask("a wrong method", "GET", path, ``, 405, "POST")
	ask("no such path", "POST", "/audiences/stuck-in-setup", `[]`, 404, "path")
	status, text := e.send("DELETE", path, `["bob"]`, "X-Api-Key", "x")
	e.answers("another token", status, text, "token", 401)
	e.is("after all that", cohort, "bob cid")
}
