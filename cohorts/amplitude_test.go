package cohorts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

func TestAmplitudeWebhook(t *testing.T) {
	const cohort = "amplitude/7khm89cz"
	e := serve(t, "amplitude", rules.CohortFeed{Token: "secret", MaxAge: time.Hour})
	message := func(id, in, users string) string {
		return `{"cohort_name":"Stuck","cohort_id":"7khm89cz","in_cohort":` + in + `,"computed_time":"1795465200","message_id":"` + id + `","users":[` + users + `]}`
	}
	post := func(when, body string, status int, want string) {
		t.Helper()
		got, text := e.send("POST", "/", body, "Authorization", "Bearer secret")
		e.answers(when, got, text, want, status)
	}
	post("who enters", message("a::enter::0", "true", `{"user_id":"ann","user_properties":{"plan":"trial"}},{"user_id":"bob"},{"user_id":null},{"device_id":"cid"}`), 200, `{"success":true}`)
	e.is("after it", cohort, "ann+3600 bob+3600 cid+3600")
	post("who leaves", message("b::exit::0", `"false"`, `{"user_id":"ann"}`), 200, `{"success":true}`)
	post("the first again", message("a::enter::0", "true", `{"user_id":"ann"}`), 200, `{"success":true}`)
	e.is("after a repetition", cohort, "bob+3600 cid+3600")
	post("with properties of all kinds", message("d::enter::0", "true", `{"user_id":"dee","user_properties":{"`+strings.Repeat("long", 100)+`":"\u0000\ud83d","n":1e999}}`), 200, `{"success":true}`)
	e.is("after odd properties", cohort, "bob+3600 cid+3600 dee+3600")
	post("ids of all kinds", message("e::exit::0", "false", `"dee",7,{"user_id":["ann"]},{"user_id":"`+strings.Repeat("x", 201)+`"},{"user_id":"a\u0000"},[["bob"]],true`), 200, `{"success":true}`)
	e.is("after odd ids", cohort, "bob+3600 cid+3600")
	var many []string
	for i := range 12_000 {
		many = append(many, fmt.Sprintf(`{"user_id":"u-%d","user_properties":{"plan":"trial"}}`, i))
	}
	post("many", message("c::enter::0", "true", strings.Join(many, ",")), 200, `{"success":true}`)
	if n := e.store.Cohorts()[cohort].Members; n != 12_002 {
		t.Errorf("%d members", n)
	}
	for name, body := range map[string]string{
		"no cohort":      `{"in_cohort":true,"users":[]}`,
		"neither":        `{"cohort_id":"7khm89cz","users":[]}`,
		"no users":       `{"cohort_id":"7khm89cz","in_cohort":true}`,
		"truncated":      `{"cohort_id":"7khm89cz","in_cohort":true,"users":[{"user_id":"bo`,
		"members twice":  `{"cohort_id":"x","cohort_id":"7khm89cz","in_cohort":true,"users":[]}`,
		"invalid UTF-8":  "{\"cohort_id\":\"7khm89cz\",\"in_cohort\":true,\"users\":[\"\xff\"]}",
		"a wrong number": `{"cohort_id":1.5,"in_cohort":true,"users":[]}`,
	} {
		post(name, body, 400, `"success":false`)
	}
	for name, header := range map[string][]string{"none": nil, "another": {"Authorization", "Bearer x"}, "empty": {"Authorization", "Bearer "}} {
		status, text := e.send("POST", "", message("d", "true", `{"user_id":"ann"}`), header...)
		e.answers(name+" for a token", status, text, `"success":false`, 401)
	}
	for _, header := range [][]string{basic("secret", ""), basic("x", "secret"), {"X-Refract-Token", "secret"}, {"Authorization", "secret"}, {"X-API-Key", "secret"}} {
		status, text := e.send("POST", "", message("", "true", ""), header...)
		e.answers(fmt.Sprint(header), status, text, "true", 200)
	}
	e.is("after all that", cohort, "bob+3600 cid+3600")
}

func TestAmplitudeLists(t *testing.T) {
	const cohort = "amplitude/7khm89cz"
	e := serve(t, "amplitude", rules.CohortFeed{Token: "secret"})
	post := func(when, path, body string, status int, want string) {
		t.Helper()
		got, text := e.send("POST", path, body, basic("secret", "")...)
		e.answers(when, got, text, want, status)
	}
	post("create", "/lists", `{"name":"[Amplitude] Stuck: in setup: 7khm89cz","context":{"integration":{"name":"Amplitude Cohort Sync","version":"1.0.0"}}}`, 200, `"id":"7khm89cz"`)
	post("add", "/lists/7khm89cz/add", `{"userIds":["ann",7,{"user_id":"bob"},null,"",1.5],"context":{}}`, 200, `true`)
	e.is("after an add", cohort, "ann bob 7")
	post("remove", "/lists/7khm89cz/remove", `{"userIds":["ann"],"users":[{"userId":"cid"}]}`, 200, `true`)
	e.is("after a remove", cohort, "bob 7")
	post("no name", "/lists", `{}`, 400, `false`)
	post("a name without an id", "/lists", `{"name":"[Amplitude] x: "}`, 400, `[Amplitude] NAME: ID`)
	post("no ids", "/lists/7khm89cz/add", `{}`, 400, `false`)
	post("no such path", "/lists/7khm89cz/replace", `{}`, 404, `false`)
	post("no such path", "/list", `{}`, 404, `false`)
}
