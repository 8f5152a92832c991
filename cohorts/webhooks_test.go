package cohorts

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

var now = time.Date(2026, 11, 23, 20, 28, 0, 0, time.UTC)

// edge is a store with a system's mount in front of it.
type edge struct {
	t       *testing.T
	store   *store.Store
	server  *httptest.Server
	refused []string
}

func serve(t *testing.T, system string, feed rules.CohortFeed) *edge {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t, store: s}
	h := Handler(system, Feed{CohortFeed: feed, Keeper: s, Now: func() time.Time { return now },
		Refused: func(reason string) { e.refused = append(e.refused, reason) }})
	e.server = httptest.NewServer(http.StripPrefix("/mount", h))
	t.Cleanup(func() {
		e.server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// send sends a message and returns the answer.
func (e *edge) send(method, path, body string, header ...string) (int, string) {
	e.t.Helper()
	r, err := http.NewRequest(method, e.server.URL+"/mount"+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// is compares the members of a cohort: visitors by their ids, accounts after
// an @, with the seconds that are left to who has an end.
func (e *edge) is(when, cohort, want string) {
	e.t.Helper()
	var have []string
	for _, id := range []string{"ann", "bob", "cid", "dee", "7", "acme"} {
		for _, who := range []segments.Who{segments.Visitor, segments.Account} {
			state, err := e.store.State(segments.Unit{Who: who, ID: id})
			if err != nil {
				e.t.Fatal(err)
			}
			v := state.Cohorts(cohort)
			if v == (segments.Interval{}) {
				continue
			}
			if who == segments.Account {
				id = "@" + id
			}
			if v.Until != segments.Forever {
				id += fmt.Sprintf("+%d", (v.Until-now.UnixMilli())/1000)
			}
			have = append(have, id)
		}
	}
	if got := strings.Join(have, " "); got != want {
		e.t.Errorf("%s: members of %s: %q, want %q", when, cohort, got, want)
	}
}

func (e *edge) answers(when string, status int, body, wantBody string, is int) {
	e.t.Helper()
	if status != is || !strings.Contains(body, wantBody) {
		e.t.Errorf("%s: %d %s, want %d with %s", when, status, body, is, wantBody)
	}
}

func basic(user, password string) []string {
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth(user, password)
	return []string{"Authorization", r.Header.Get("Authorization")}
}

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

func bomb(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.CopyN(w, spaces{}, 64<<20); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

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
		"a past end": `{"segment":"s","external_id":"ann","ttl_s":-1}`, "no end": `{"segment":"s","external_id":"ann","ttl_s":1e12}`,
		"a list": `{"segment":"s","external_id":["ann"]}`,
	} {
		post(name, body, 400, "false")
	}
	status, text := e.send("POST", "", `{"segment":"stuck-in-setup","external_id":"dee"}`)
	e.answers("no token", status, text, "token", 401)
	e.is("after all that", cohort, "ann+120 cid+90")
}

// broken is a store that can't be written.
type broken struct{}

var errDisk = errors.New("the disk of /var/lib is full")

func (broken) ReplaceCohort(context.Context, string, time.Duration, []segments.Unit) error {
	return errDisk
}
func (broken) StagePage(context.Context, string, time.Duration, store.Page) (bool, error) {
	return false, errDisk
}
func (broken) ChangeCohort(context.Context, string, time.Duration, store.Change) error {
	return errDisk
}

// TestStoreIsDown: what is no fault of the sender's is for them to repeat, and
// none of their business.
func TestStoreIsDown(t *testing.T) {
	entered := `{"type":"track","event":"Audience Entered","userId":"ann","properties":{"audience_key":"k"}}`
	for vendor, m := range map[string]struct{ path, body string }{
		"mixpanel":    {"/", mixpanelMessage("members", "s", 1, 1, "ann")},
		"amplitude":   {"/", `{"cohort_id":"c","in_cohort":true,"users":[{"user_id":"ann"}]}`},
		"segment":     {"/", entered},
		"rudderstack": {"/audiences/a/members", `["ann"]`},
		"braze":       {"/", `{"segment":"s","external_id":"ann"}`},
	} {
		h := Handler(vendor, Feed{CohortFeed: rules.CohortFeed{Token: "secret", Password: "secret", Secret: "shared"}, Keeper: broken{}})
		r := httptest.NewRequest("POST", m.path, strings.NewReader(m.body))
		r.Header.Set("Authorization", "Bearer secret")
		if vendor == "mixpanel" {
			r.SetBasicAuth("", "secret")
		}
		r.Header.Set("X-Signature", signature("shared", m.body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want := 503
		if vendor == "braze" {
			want = 500
		}
		if w.Code != want || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "/var") {
			t.Errorf("%s: %d %v %s", vendor, w.Code, w.Header(), w.Body)
		}
	}
	if Handler("hubspot", Feed{}) != nil {
		t.Error("there is a handler for a vendor that nobody knows")
	}
}

// FuzzWebhooks: no message makes a handler panic, or is answered with anything
// but JSON and a status that its sender knows; and who is refused changes
// nothing.
func FuzzWebhooks(f *testing.F) {
	systems := []string{"mixpanel", "amplitude", "segment", "rudderstack", "braze"}
	for i, body := range []string{
		mixpanelMessage("members", "s", 1, 2, "ann", "$device:bob"),
		`{"cohort_id":"c","in_cohort":true,"message_id":"m","users":[{"user_id":"ann"}]}`,
		`[{"type":"track","event":"Audience Entered","userId":"ann","properties":{"audience_key":"k"}}]`,
		`{"users":[{"user_id":"ann"},7]}`,
		`{"segment":"s","external_id":"ann","ttl_s":"60"}`,
	} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		system := systems[int(which)%len(systems)]
		kept := &counting{}
		h := Handler(system, Feed{CohortFeed: rules.CohortFeed{Token: "secret", Password: "secret", Secret: "shared"}, Keeper: kept})
		path := "/"
		if system == "rudderstack" {
			path = "/audiences/a/members"
		}
		r := httptest.NewRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer secret")
		if system == "mixpanel" {
			r.SetBasicAuth("", "secret")
		}
		signed := body
		if list, err := elements([]byte(body)); err == nil && len(list) > 0 {
			signed = string(list[0])
		}
		r.Header.Set("X-Signature", signature("shared", signed))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || !slices.Contains([]int{200, 400, 413}, w.Code) {
			t.Fatalf("%s: %d %s", system, w.Code, w.Body)
		}
		if w.Code != 200 && kept.changes > 0 {
			t.Fatalf("%s: %d, and yet there were %d changes", system, w.Code, kept.changes)
		}
	})
}

// counting keeps nothing but how often it was asked, and checks what it is
// given.
type counting struct{ changes int }

func (c *counting) ReplaceCohort(context.Context, string, time.Duration, []segments.Unit) error {
	c.changes++
	return nil
}

func (c *counting) StagePage(_ context.Context, name string, _ time.Duration, p store.Page) (bool, error) {
	if p.Number < 1 || p.Number > p.Of {
		return false, store.ErrPage
	}
	for _, u := range p.Members {
		c.unit(name, u)
	}
	c.changes++
	return false, nil
}

func (c *counting) ChangeCohort(_ context.Context, name string, _ time.Duration, change store.Change) error {
	for _, m := range change.Add {
		c.unit(name, m.Unit)
	}
	for _, u := range change.Remove {
		c.unit(name, u)
	}
	c.changes++
	return nil
}

func (c *counting) unit(name string, u segments.Unit) {
	if !rules.CohortName(name) || u.ID == "" || len(u.ID) > 200 || u.Who != segments.Visitor && u.Who != segments.Account {
		panic(fmt.Sprintf("%q in %q", u, name))
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
