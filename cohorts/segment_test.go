package cohorts

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

func signature(secret, message string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestSegment(t *testing.T) {
	const cohort = "segment/stuck_in_setup"
	e := serve(t, "segment", rules.CohortFeed{Secret: "shared"})
	track := func(event, user, id string) string {
		return `{"type":"track","event":"` + event + `","userId":"` + user + `", "anonymousId":"13c75dc9","messageId":"` + id + `","properties":{"audience_key":"stuck_in_setup","stuck_in_setup":true},` +
			`"context":{"personas":{"computation_class":"audience","computation_id":"aud_2abc","computation_key":"stuck_in_setup"}}}`
	}
	identify := func(user, is, id string) string {
		return `{"type":"identify","userId":` + user + `,"anonymousId":"dee","messageId":"` + id + `","traits":{"stuck_in_setup":` + is + `},"context":{"personas":{"computation_class":"audience","computation_key":"stuck_in_setup"}}}`
	}
	post := func(when, body, signed string, status int, want string) {
		t.Helper()
		got, text := e.send("POST", "/", body, "X-Signature", signature("shared", signed))
		e.answers(when, got, text, want, status)
	}
	one := track("Audience Entered", "ann", "m1")
	post("one event", one, one, 200, "true")
	e.is("after it", cohort, "ann")
	left := track("Audience Exited", "ann", "m2")
	post("and out", left, left, 200, "true")
	post("the first again", one, one, 200, "true")
	e.is("after a repetition", cohort, "")
	list := []string{identify(`"bob"`, "true", "m3"), identify("7", "true", "m4"), identify("null", "true", "m5"), identify(`"bob"`, "false", "m6"), track("Order Completed", "cid", "m7"),
		`{"type":"group","groupId":"acme","userId":"cid","traits":{"stuck_in_setup":true},"context":{"personas":{"computation_key":"stuck_in_setup"}},"messageId":"m8"}`}
	batch := " [ " + strings.Join(list, " ,\n") + " ] "
	post("a batch, of which the first is signed", batch, list[0], 200, "true")
	e.is("after the batch", cohort, "dee 7 @acme")
	nobody := `{"type":"track","event":"Audience Entered","messageId":"m10","properties":{"audience_key":"stuck_in_setup"}}`
	post("a batch with nobody in it", "["+nobody+","+track("Audience Entered", "cid", "m11")+"]", nobody, 200, "true")
	e.is("after it", cohort, "cid dee 7 @acme")
	left = track("Audience Exited", "cid", "m12")
	post("and out", left, left, 200, "true")
	page := `{"type":"page","userId":"ann","messageId":"m9","properties":{}}`
	post("another kind of event", page, page, 200, "true")
	post("an empty batch", `[]`, `[]`, 200, "true")

	for name, c := range map[string]struct{ body, signed string }{
		"signed whole":        {batch, batch},
		"by another secret":   {one, one + "x"},
		"one element changed": {"[" + left + "]", one},
	} {
		got, text := e.send("POST", "", c.body, "X-Signature", signature("shared", c.signed))
		e.answers(name, got, text, "signature", 401)
	}
	got, text := e.send("POST", "", one)
	e.answers("not signed", got, text, "signature", 401)
	for name, body := range map[string]string{
		"no key":     `{"type":"track","event":"Audience Entered","userId":"ann","properties":{}}`,
		"an odd key": `{"type":"track","event":"Audience Entered","userId":"ann","properties":{"audience_key":"a b"}}`,
		"truncated":  `{"type":"track","event":"Audience En`,
	} {
		post(name, body, body, 400, "false")
	}
	post("half of a batch is bad", `[`+one+`,{"type":"track","event":"Audience Entered","userId":"ann","properties":{"audience_key":"a b"}}]`, one, 400, "false")
	e.is("after all that", cohort, "dee 7 @acme")

	e = serve(t, "segment", rules.CohortFeed{Secret: "shared", Token: "token"})
	got, text = e.send("POST", "", one, "X-Signature", signature("shared", one))
	e.answers("signed, without the token", got, text, "token", 401)
	got, text = e.send("POST", "", one, "X-Signature", signature("shared", one), "Authorization", "Bearer token")
	e.answers("with both", got, text, "true", 200)
	e.is("with both", cohort, "ann")

	e = serve(t, "segment", rules.CohortFeed{Token: "token"})
	got, text = e.send("POST", "", one, "Authorization", "Bearer token")
	e.answers("by the token alone", got, text, "true", 200)
	got, text = e.send("POST", "", one, "X-Signature", signature("", one))
	e.answers("signed with nothing", got, text, "token", 401)
}
