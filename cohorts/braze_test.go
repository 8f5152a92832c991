package cohorts

import (
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
)

func TestBraze(t *testing.T) {
	const cohort = "braze/stuck-in-setup"
	e := serve(t, "braze", rules.CohortFeed{Token: "secret", Expires: 2 * time.Hour})
	post := func(when, body string, status int, want string) {
		t.Helper()
		got, text := e.send("POST", "", body, "Authorization", "Bearer secret")
		e.answers(when, got, text, want, status)
	}
	post("with an end", `{"segment":"stuck-in-setup","op":"add","external_id":"ann","braze_id":"5f","ttl_s":60}`, 200, "true")
	post("with the default", `{"segment":"stuck-in-setup","external_id":"bob","ttl_s":""}`, 200, "true")
	post("anonymous, from a template", `{"segment":"stuck-in-setup","op":"add","external_id":" ","device_id":"cid","ttl_s":"90"}`, 200, "true")
	e.is("after all", cohort, "ann+60 bob+7200 cid+90")
	post("again, for longer", `{"segment":"stuck-in-setup","external_id":"ann","ttl_s":120}`, 200, "true")
	post("out", `{"segment":"stuck-in-setup","op":"remove","external_id":"bob"}`, 200, "true")
	e.is("after more", cohort, "ann+120 cid+90")
	for name, body := range map[string]string{
		"nobody": `{"segment":"stuck-in-setup","external_id":""}`, "no segment": `{"external_id":"ann"}`,
		"another op": `{"segment":"s","op":"drop","external_id":"ann"}`, "an odd end": `{"segment":"s","external_id":"ann","ttl_s":"soon"}`,
		"a past end": `{"segment":"s","external_id":"ann","ttl_s":-1}`, "no end to speak of": `{"segment":"s","external_id":"ann","ttl_s":1e-10}`, "no end": `{"segment":"s","external_id":"ann","ttl_s":1e12}`,
		"a list": `{"segment":"s","external_id":["ann"]}`,
	} {
		post(name, body, 400, "false")
	}
	status, text := e.send("POST", "", `{"segment":"stuck-in-setup","external_id":"dee"}`)
	e.answers("no token", status, text, "token", 401)
	e.is("after all that", cohort, "ann+120 cid+90")
}
