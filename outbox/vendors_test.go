package outbox

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"
	segmentsdk "github.com/segmentio/analytics-go/v3"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// anonymous is an exposure of a visitor of whom only the browser is known.
func anonymous(device string) store.Exposed {
	x := visitor(device)
	x.User, x.Anonymous = "", device
	return x
}

// ofAccount is an exposure of an account by a visitor, who may be unknown.
func ofAccount(id, user string) store.Exposed {
	x := visitor(id)
	x.Unit, x.User, x.Anonymous = "account", user, ""
	return x
}

// TestShapes is what each destination is sent, and with which credentials, for
// a visitor with both ids, one with a browser's alone, and an account.
func TestShapes(t *testing.T) {
	three := []store.Exposed{visitor("ann"), anonymous("dev-1"), ofAccount("acme", "bob")}
	basic := func(user string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":")) }
	tests := []struct {
		kind, group         string
		path, query, answer string
		authorization       string
		dropped             map[Reason]uint64
		body                string // its events as EVENTS
		events              []string
	}{
		{
			kind: "segment", path: "/v1/batch", authorization: basic("the-key"),
			body: `{"sentAt":"2026-11-28T12:01:00.005Z","batch":EVENTS}`,
			events: []string{
				`{"type":"track","event":"Experiment Viewed","messageId":"ID","timestamp":"2026-11-28T12:00:00.005Z","userId":"ann","anonymousId":"device-ann","properties":VIEWED,"context":{"library":{"name":"refract"}}}`,
				`{"type":"track","event":"Experiment Viewed","messageId":"ID","timestamp":"2026-11-28T12:00:00.005Z","anonymousId":"dev-1","properties":VIEWED,"context":{"library":{"name":"refract"}}}`,
				`{"type":"track","event":"Experiment Viewed","messageId":"ID","timestamp":"2026-11-28T12:00:00.005Z","userId":"bob","properties":VIEWED,"context":{"library":{"name":"refract"},"groupId":"acme"}}`,
			},
		},
		{
			kind: "posthog", group: "company", path: "/batch/",
			body: `{"api_key":"the-key","sent_at":"2026-11-28T12:01:00.005Z","batch":EVENTS}`,
			events: []string{
				`{"event":"$feature_flag_called","uuid":"ID","distinct_id":"ann","timestamp":"2026-11-28T12:00:00.005Z","properties":{"$feature_flag":"home-hero","$feature_flag_response":"treatment","$feature/home-hero":"treatment","$lib":"refract",MORE}}`,
				`{"event":"$feature_flag_called","uuid":"ID","distinct_id":"dev-1","timestamp":"2026-11-28T12:00:00.005Z","properties":{"$feature_flag":"home-hero","$feature_flag_response":"treatment","$feature/home-hero":"treatment","$lib":"refract","$process_person_profile":false,MORE}}`,
				`{"event":"$feature_flag_called","uuid":"ID","distinct_id":"bob","timestamp":"2026-11-28T12:00:00.005Z","properties":{"$feature_flag":"home-hero","$feature_flag_response":"treatment","$feature/home-hero":"treatment","$lib":"refract","$groups":{"company":"acme"},MORE}}`,
			},
		},
		{
			kind: "mixpanel", group: "company_id", path: "/import", query: "strict=1", authorization: basic("the-key"),
			body: `EVENTS`,
			events: []string{
				`{"event":"$experiment_started","properties":{"token":"the-key","time":1795867200005,"$insert_id":"ID","Experiment name":"home-hero","Variant name":"treatment","mp_lib":"refract","distinct_id":"ann","$user_id":"ann","$device_id":"device-ann",MORE}}`,
				`{"event":"$experiment_started","properties":{"token":"the-key","time":1795867200005,"$insert_id":"ID","Experiment name":"home-hero","Variant name":"treatment","mp_lib":"refract","distinct_id":"$device:dev-1","$device_id":"dev-1",MORE}}`,
				`{"event":"$experiment_started","properties":{"token":"the-key","time":1795867200005,"$insert_id":"ID","Experiment name":"home-hero","Variant name":"treatment","mp_lib":"refract","distinct_id":"bob","$user_id":"bob","company_id":"acme",MORE}}`,
			},
		},
		{
			kind: "amplitude", group: "org", path: "/2/httpapi", answer: `{"code":200}`,
			body: `{"api_key":"the-key","client_upload_time":"2026-11-28T12:01:00.005Z","options":{"min_id_length":1},"events":EVENTS}`,
			events: []string{
				`{"event_type":"$exposure","time":1795867200005,"insert_id":"ID","library":"refract","user_id":"ann","device_id":"device-ann","event_properties":{"flag_key":"home-hero","variant":"treatment",MORE}}`,
				`{"event_type":"$exposure","time":1795867200005,"insert_id":"ID","library":"refract","device_id":"dev-1","event_properties":{"flag_key":"home-hero","variant":"treatment",MORE}}`,
				`{"event_type":"$exposure","time":1795867200005,"insert_id":"ID","library":"refract","user_id":"bob","groups":{"org":"acme"},"event_properties":{"flag_key":"home-hero","variant":"treatment",MORE}}`,
			},
		},
		{
			kind: "braze", path: "/users/track", authorization: "Bearer the-key", answer: `{"message":"success"}`,
			dropped: map[Reason]uint64{Anonymous: 1, Account: 1},
			body:    `{"events":EVENTS}`,
			events: []string{
				`{"external_id":"ann","name":"Experiment Viewed","time":"2026-11-28T12:00:00.005Z","properties":{"exposure_id":"ID",VARIANT,MORE}}`,
			},
		},
	}
	const (
		more    = `"version":"0123456789ab","segment":"stuck","surface":"home.hero"`
		variant = `"experiment_id":"home-hero","experiment_name":"home-hero","variation_id":"treatment","variation_name":"treatment"`
	)
	for _, test := range tests {
		t.Run(test.kind, func(t *testing.T) {
			v := newReceiver(t, func(int, *request) (int, map[string]string, string) { return 200, nil, test.answer })
			c := tell(t, rules.Destination{Kind: test.kind, URL: v.URL, Key: "the-key", Group: test.group}, newPile(three...))
			got := v.requests()
			if len(got) != 1 {
				t.Fatalf("%d requests", len(got))
			}
			var events []string
			for i, e := range test.events {
				e = strings.NewReplacer("ID\"", three[i].ID+"\"", "VIEWED", "{"+variant+","+more+"}", "VARIANT", variant, "MORE", more).Replace(e)
				events = append(events, e)
			}
			r := got[0]
			if r.method != http.MethodPost || r.path != test.path || r.query != test.query ||
				r.header.Get("Authorization") != test.authorization || r.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s?%s with %v", r.method, r.path, r.query, r.header)
			}
			sameJSON(t, "the body", string(r.body), strings.Replace(test.body, "EVENTS", "["+strings.Join(events, ",")+"]", 1))
			dropped := uint64(0)
			for why, n := range test.dropped {
				if c.Dropped[why] != n {
					t.Errorf("dropped %v, want %v", c.droppedAtAll(), test.dropped)
				}
				dropped += n
			}
			if c.Sent != uint64(len(test.events)) || c.Sent+dropped != 3 {
				t.Errorf("%d sent, dropped %v", c.Sent, c.droppedAtAll())
			}
		})
	}
}

// TestAccounts: where a vendor needs a name for groups and has none, and where
// nobody of the account is known, its exposure is left out.
func TestAccounts(t *testing.T) {
	for _, kind := range []string{"posthog", "mixpanel", "amplitude"} {
		v := newReceiver(t, func(int, *request) (int, map[string]string, string) { return 200, nil, `{"code":200}` })
		c := tell(t, rules.Destination{Kind: kind, URL: v.URL, Key: "k"}, newPile(ofAccount("acme", "bob")))
		if c.Dropped[Account] != 1 || c.Sent != 0 || len(v.requests()) != 0 {
			t.Errorf("%s without a group: dropped %v", kind, c.droppedAtAll())
		}
		c = tell(t, rules.Destination{Kind: kind, URL: v.URL, Key: "k", Group: "g"}, newPile(ofAccount("acme", "")))
		if c.Dropped[Unknown] != 1 || c.Sent != 0 {
			t.Errorf("%s without a visitor: dropped %v", kind, c.droppedAtAll())
		}
	}
}

// TestSegmentByItsSDK: the vendor's own types read the batch, and find it sound.
func TestSegmentByItsSDK(t *testing.T) {
	v := newReceiver(t, nil)
	tell(t, rules.Destination{Kind: "segment", URL: v.URL, Key: "k"}, newPile(visitor("ann"), anonymous("dev-1"), ofAccount("acme", "bob")))
	var body struct{ Batch []segmentsdk.Track }
	if err := json.Unmarshal(v.requests()[0].body, &body); err != nil {
		t.Fatal(err)
	}
	for i, track := range body.Batch {
		if err := track.Validate(); err != nil {
			t.Error(err)
		}
		if track.Event != viewed || !track.Timestamp.Equal(at) || track.Properties["variation_id"] != "treatment" {
			t.Errorf("event %d is %+v", i, track)
		}
	}
}

// TestWebhook: CloudEvents' own SDK reads what a webhook gets, and Standard
// Webhooks' own library finds it signed.
func TestWebhook(t *testing.T) {
	raw := "a-secret"
	for secret, verify := range map[string]func() (*standardwebhooks.Webhook, error){
		raw: func() (*standardwebhooks.Webhook, error) { return standardwebhooks.NewWebhookRaw([]byte(raw)) },
		"whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789")): func() (*standardwebhooks.Webhook, error) {
			return standardwebhooks.NewWebhookRaw([]byte("0123456789"))
		},
	} {
		v := newReceiver(t, nil)
		list := []store.Exposed{visitor("ann"), anonymous("dev-1"), ofAccount("acme", "")}
		if c := tell(t, rules.Destination{Kind: "webhook", URL: v.URL + "/hook?a=b", Key: secret}, newPile(list...)); c.Sent != 3 {
			t.Errorf("%d sent", c.Sent)
		}
		r := v.requests()[0]
		if r.path != "/hook" || r.query != "a=b" || r.header.Get("Content-Type") != "application/cloudevents-batch+json; charset=utf-8" {
			t.Errorf("%s?%s with %v", r.path, r.query, r.header)
		}
		wh, err := verify()
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.VerifyIgnoringTimestamp(r.body, r.header); err != nil {
			t.Errorf("the signature: %v", err)
		}
		changed := append([]byte(" "), r.body...)
		if wh.VerifyIgnoringTimestamp(changed, r.header) == nil {
			t.Error("a changed body is taken for signed")
		}
		if got := r.header.Get("Webhook-Timestamp"); got != "1795867260" {
			t.Errorf("the time is %s", got)
		}
		var events []event.Event
		if err := json.Unmarshal(r.body, &events); err != nil {
			t.Fatal(err)
		}
		for i, e := range events {
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
			var x store.Exposed
			if err := e.DataAs(&x); err != nil {
				t.Fatal(err)
			}
			if x != list[i] || e.ID() != x.ID || !e.Time().Equal(at) || e.Type() != "refract.exposure" || e.Subject() != x.UnitID {
				t.Errorf("event %d is %v", i, e)
			}
		}
	}
	v := newReceiver(t, nil)
	tell(t, rules.Destination{Kind: "webhook", URL: v.URL}, newPile(visitor("ann")))
	if s, signed := v.requests()[0].header["Webhook-Signature"]; signed {
		t.Errorf("without a secret it is signed: %s", s)
	}
}
