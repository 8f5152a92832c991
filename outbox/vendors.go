package outbox

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/store"
)

// viewed is what Segment's specification has events of A/B tests say, which
// others have taken over.
const viewed = "Experiment Viewed"

func viewedProperties(x *store.Exposed) map[string]any {
	return map[string]any{
		"experiment_id": x.Rule, "experiment_name": x.Rule, "variation_id": x.Arm, "variation_name": x.Arm,
		"version": x.Version, "segment": x.Segment, "surface": x.Surface,
	}
}

// segment is Twilio Segment's HTTP API, and RudderStack's at its host. It takes
// 500 KB and 2500 events a request, and knows repetitions by messageId.
type segment struct{ url, key string }

func (s *segment) limits() (events, bytes int) { return 1000, 480_000 }

func (s *segment) event(x *store.Exposed) (any, Reason) {
	if who(x) == "" {
		return nil, Unknown
	}
	type library struct {
		Name string `json:"name"`
	}
	type context struct {
		Library library `json:"library"`
		GroupID string  `json:"groupId,omitempty"`
	}
	return struct {
		Type        string         `json:"type"`
		Event       string         `json:"event"`
		MessageID   string         `json:"messageId"`
		Timestamp   string         `json:"timestamp"`
		UserID      string         `json:"userId,omitempty"`
		AnonymousID string         `json:"anonymousId,omitempty"`
		Properties  map[string]any `json:"properties"`
		Context     context        `json:"context"`
	}{"track", viewed, x.ID, stamp(x.At), x.User, x.Anonymous, viewedProperties(x), context{library{"refract"}, account(x)}}, ""
}

func (s *segment) request(events []json.RawMessage, now time.Time) (*http.Request, error) {
	req, err := posted(s.url+"/v1/batch", map[string]any{"batch": events, "sentAt": stamp(now)})
	if err == nil {
		req.SetBasicAuth(s.key, "")
	}
	return req, err
}

func (s *segment) judge(a *answer, _ int) verdict { return byStatus(a) }

// posthog is PostHog's capture API. It takes 20 MB a request, and knows
// repetitions by uuid.
type posthog struct{ url, key, group string }

func (p *posthog) limits() (events, bytes int) { return 1000, 4_000_000 }

func (p *posthog) event(x *store.Exposed) (any, Reason) {
	properties := map[string]any{
		"$feature_flag": x.Rule, "$feature_flag_response": x.Arm, "$feature/" + x.Rule: x.Arm,
		"$lib": library, "version": x.Version, "segment": x.Segment, "surface": x.Surface,
	}
	switch a := account(x); {
	case a != "" && p.group == "":
		return nil, Account
	case who(x) == "":
		return nil, Unknown
	case a != "":
		properties["$groups"] = map[string]string{p.group: a}
	}
	if x.User == "" {
		properties["$process_person_profile"] = false
	}
	return map[string]any{
		"event": "$feature_flag_called", "uuid": x.ID, "distinct_id": who(x), "timestamp": stamp(x.At), "properties": properties,
	}, ""
}

func (p *posthog) request(events []json.RawMessage, now time.Time) (*http.Request, error) {
	return posted(p.url+"/batch/", map[string]any{"api_key": p.key, "batch": events, "sent_at": stamp(now)})
}

func (p *posthog) judge(a *answer, n int) verdict {
	v := byStatus(a)
	var body struct {
		Limited []string `json:"quota_limited"`
	}
	if v.kind == taken && json.Unmarshal(a.body, &body) == nil && slices.Contains(body.Limited, "events") {
		v.bad, v.why = make([]int, n), Quota
	}
	return v
}

// mixpanel is Mixpanel's import API. It takes 2000 events and 10 MB a request,
// in older projects 2 MB, and knows repetitions by $insert_id, time, event and
// distinct_id.
type mixpanel struct{ url, token, group string }

func (m *mixpanel) limits() (events, bytes int) { return 2000, 2_000_000 }

func (m *mixpanel) event(x *store.Exposed) (any, Reason) {
	properties := map[string]any{
		"token": m.token, "time": x.At.UnixMilli(), "$insert_id": x.ID,
		"Experiment name": x.Rule, "Variant name": x.Arm, "version": x.Version, "segment": x.Segment, "surface": x.Surface,
		"mp_lib": library, "distinct_id": x.User,
	}
	switch a := account(x); {
	case a != "" && m.group == "":
		return nil, Account
	case who(x) == "":
		return nil, Unknown
	case a != "":
		properties[m.group] = a
	}
	if device := strings.TrimPrefix(x.Anonymous, "$device:"); device != "" {
		properties["$device_id"] = device
		if x.User == "" {
			properties["distinct_id"] = "$device:" + device
		}
	}
	if x.User != "" {
		properties["$user_id"] = x.User
	}
	return map[string]any{"event": "$experiment_started", "properties": properties}, ""
}

func (m *mixpanel) request(events []json.RawMessage, _ time.Time) (*http.Request, error) {
	req, err := posted(m.url+"/import?strict=1", events)
	if err == nil {
		req.SetBasicAuth(m.token, "")
	}
	return req, err
}

// judge: with strict, a 400 that lists failed records has taken the others.
func (m *mixpanel) judge(a *answer, _ int) verdict {
	v := byStatus(a)
	var body struct {
		Failed []struct {
			Index int `json:"index"`
		} `json:"failed_records"`
	}
	if v.kind == wrong && json.Unmarshal(a.body, &body) == nil && len(body.Failed) > 0 {
		v.kind = taken
		for _, f := range body.Failed {
			v.bad = append(v.bad, f.Index)
		}
	}
	return v
}

// amplitude is Amplitude's HTTP V2 API. It takes less than 2000 events and 1 MB
// a request, and knows repetitions by insert_id, for 7 days.
type amplitude struct{ url, key, group string }

func (p *amplitude) limits() (events, bytes int) { return 1000, 1_000_000 }

func (p *amplitude) event(x *store.Exposed) (any, Reason) {
	event := map[string]any{
		"event_type": "$exposure", "time": x.At.UnixMilli(), "insert_id": x.ID, "library": library,
		"event_properties": map[string]any{"flag_key": x.Rule, "variant": x.Arm, "version": x.Version, "segment": x.Segment, "surface": x.Surface},
	}
	switch a := account(x); {
	case a != "" && p.group == "":
		return nil, Account
	case who(x) == "":
		return nil, Unknown
	case a != "":
		event["groups"] = map[string]string{p.group: a}
	}
	if x.User != "" {
		event["user_id"] = x.User
	}
	if x.Anonymous != "" {
		event["device_id"] = x.Anonymous
	}
	return event, ""
}

func (p *amplitude) request(events []json.RawMessage, now time.Time) (*http.Request, error) {
	return posted(p.url+"/2/httpapi", map[string]any{
		"api_key": p.key, "events": events, "client_upload_time": stamp(now),
		"options": map[string]any{"min_id_length": 1}, // else ids of less than five characters are dropped
	})
}

// judge goes by the code in the body, where there is one. A request with events
// that are wrong is refused as a whole, and the answer says which they are.
func (p *amplitude) judge(a *answer, _ int) verdict {
	var body struct {
		Code    int              `json:"code"`
		Error   string           `json:"error"`
		Invalid map[string][]int `json:"events_with_invalid_fields"`
		Missing map[string][]int `json:"events_with_missing_fields"`
		Short   map[string][]int `json:"events_with_invalid_id_lengths"`
	}
	if json.Unmarshal(a.body, &body) == nil && body.Code != 0 {
		a.status = body.Code
	}
	v := byStatus(a)
	if a.status == http.StatusTooManyRequests {
		v.pause = 30 * time.Second // as its documentation asks
	}
	if v.kind != wrong {
		return v
	}
	if lower := strings.ToLower(body.Error); strings.Contains(lower, "api key") || strings.Contains(lower, "api_key") {
		return verdict{kind: later, mend: true, text: a.text() + "; hint: is the key right?"}
	}
	for _, fields := range []map[string][]int{body.Invalid, body.Missing, body.Short} {
		for _, list := range fields {
			v.bad = append(v.bad, list...)
		}
	}
	return v
}

// braze is Braze's /users/track. It takes 50 events a request, and does not
// know repetitions.
type braze struct{ url, key string }

func (b *braze) limits() (events, bytes int) { return 50, 1_000_000 }

func (b *braze) event(x *store.Exposed) (any, Reason) {
	switch {
	case account(x) != "":
		return nil, Account
	case x.User == "":
		return nil, Anonymous
	}
	properties := viewedProperties(x)
	properties["exposure_id"] = x.ID
	return map[string]any{"external_id": x.User, "name": viewed, "time": stamp(x.At), "properties": properties}, ""
}

func (b *braze) request(events []json.RawMessage, _ time.Time) (*http.Request, error) {
	req, err := posted(b.url+"/users/track", map[string]any{"events": events})
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+b.key)
	}
	return req, err
}

// judge: a success may name events that were left out.
func (b *braze) judge(a *answer, _ int) verdict {
	v := byStatus(a)
	var body struct {
		Errors []struct {
			Array string `json:"input_array"`
			Index int    `json:"index"`
		} `json:"errors"`
	}
	if v.kind == taken && json.Unmarshal(a.body, &body) == nil {
		for _, e := range body.Errors {
			if e.Array == "events" && !slices.Contains(v.bad, e.Index) {
				v.bad = append(v.bad, e.Index)
			}
		}
	}
	return v
}
