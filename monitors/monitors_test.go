package monitors

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// pagerDutySignature is what openssl dgst -sha256 -hmac makes of the message
// {"rule":"checkout"} with the secret.
const pagerDutySignature = "99831fa02c9d1513da6db56737ecc381454b2bb3c660e04f98391f36fced66f1"

// TestRead: what raises an alarm in each system's messages, and what does not.
func TestRead(t *testing.T) {
	at := time.Date(2026, 11, 28, 14, 0, 0, 0, time.UTC)
	for _, x := range []struct {
		name, body string
		want       []Alarm
	}{
		{"alertmanager", `{"version":"4","status":"firing","groupKey":"{}","truncatedAlerts":0,"alerts":[
			{"status":"firing","labels":{"alertname":"Errors","refract_rule":"checkout"},"annotations":{"summary":"5xx at 4 %"},"startsAt":"2026-11-28T14:00:00Z","endsAt":"0001-01-01T00:00:00Z"},
			{"status":"resolved","labels":{"refract_rule":"banner"},"startsAt":"2026-11-28T14:00:00Z"},
			{"status":"firing","labels":{"alertname":"Latency"},"annotations":{},"startsAt":"2026-11-28T14:00:00Z"}]}`,
			[]Alarm{{"checkout", "5xx at 4 %", at}, {"", "Latency", at}}},
		{"alertmanager, resolved", `{"status":"resolved","alerts":[{"status":"resolved","labels":{"refract_rule":"checkout"}}]}`, nil},
		{"pagerduty", `{"event":{"id":"5ac64822","event_type":"incident.triggered","resource_type":"incident","occurred_at":"2026-11-28T14:00:00.000Z","data":{"id":"PT4KHLK","title":"On fire"}}}`,
			[]Alarm{{"", "On fire", at}}},
		{"pagerduty, resolved", `{"event":{"event_type":"incident.resolved","data":{"title":"On fire"}}}`, nil},
		{"pagerduty, its test", `{"event":{"event_type":"pagey.ping","data":{"message":"hello","type":"ping"}}}`, nil},
		{"plain", `{"rule":"checkout","why":"it is late"}`, []Alarm{{"checkout", "it is late", time.Time{}}}},
		{"plain, for its address to name the rule", `{"rule":"","at":"2026-11-28T14:00:00Z"}`, []Alarm{{"", "", at}}},
		{"datadog", `{"rule":"checkout","why":"[Triggered] errors","status":"Triggered"}`, []Alarm{{"checkout", "[Triggered] errors", time.Time{}}}},
		{"datadog without data", `{"rule":"checkout","status":"No Data"}`, []Alarm{{Rule: "checkout"}}},
		{"datadog, over", `{"rule":"checkout","status":"Recovered"}`, nil},
		{"datadog, a warning", `{"rule":"checkout","status":"Warn"}`, nil},
	} {
		got, err := Read([]byte(x.body))
		if err != nil || !slices.Equal(got, x.want) {
			t.Errorf("%s: %+v, %v; want %+v", x.name, got, err, x.want)
		}
	}
	for _, body := range []string{``, `{}`, `[]`, `{"rule":7}`, `{"rule":"a"`, `{"alerts":"many"}`, `null`, `{"why":"no rule"}`} {
		if got, err := Read([]byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
	long, err := Read([]byte(`{"rule":"a","why":"` + strings.Repeat("é", 1000) + `"}`))
	if err != nil || len(long[0].Why) > 500 {
		t.Errorf("a long reason has %d bytes, %v", len(long[0].Why), err)
	}
}

// TestAuthorised: the secret in each way that senders have, and nothing else.
// A message that is signed badly is not saved by a secret beside it.
func TestAuthorised(t *testing.T) {
	body, now := []byte(`{"rule":"checkout"}`), time.Now()
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(id string, at time.Time) http.Header {
		s, err := hook.Sign(id, at, body)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set("Webhook-Id", id)
		h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		h.Set("Webhook-Signature", s)
		return h
	}
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	basic := &http.Request{Header: http.Header{}}
	basic.SetBasicAuth("anyone", secret)
	pagerduty := "v1=" + pagerDutySignature
	with := func(h http.Header, key, value string) http.Header {
		h = h.Clone()
		h.Set(key, value)
		return h
	}
	for _, x := range []struct {
		name string
		h    http.Header
		want bool
	}{
		{"bearer", header("Authorization", "Bearer "+secret), true},
		{"basic", basic.Header, true},
		{"a header of its own", header("X-Refract-Token", secret), true},
		{"pagerduty", header("X-PagerDuty-Signature", pagerduty), true},
		{"pagerduty, while the secret is replaced", header("X-PagerDuty-Signature", "v1="+strings.Repeat("0", 64)+","+pagerduty), true},
		{"standard webhooks", signed("msg_1", now), true},
		{"two signatures", with(signed("msg_1", now), "Webhook-Signature", "v1,AAAA "+signed("msg_1", now).Get("Webhook-Signature")), true},

		{"nothing", http.Header{}, false},
		{"another secret", header("Authorization", "Bearer "+secret+"x"), false},
		{"the secret as user", header("Authorization", "Basic "+secret), false},
		{"an empty bearer", header("Authorization", "Bearer "), false},
		{"a signature of other bytes", header("X-PagerDuty-Signature", "v1="+strings.Repeat("0", 64)), false},
		{"a version that isn't known", header("X-PagerDuty-Signature", "v2="+pagerDutySignature), false},
		{"signed badly, with the secret", header("X-PagerDuty-Signature", "v1=00", "Authorization", "Bearer "+secret), false},
		{"old", signed("msg_1", now.Add(-6*time.Minute)), false},
		{"of the future", signed("msg_1", now.Add(6*time.Minute)), false},
		{"another id", with(signed("msg_1", now), "Webhook-Id", "msg_2"), false},
		{"another time", with(signed("msg_1", now), "Webhook-Timestamp", strconv.FormatInt(now.Unix()-1, 10)), false},
	} {
		if got := Authorised(x.h, body, secret, now); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
	if Authorised(header("Authorization", "Bearer "), body, "", now) {
		t.Error("no secret lets everyone in")
	}
	if Authorised(header("X-PagerDuty-Signature", pagerduty), append(body, ' '), secret, now) {
		t.Error("an edited message is believed")
	}
}
