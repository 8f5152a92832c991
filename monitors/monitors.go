// Package monitors reads what monitoring systems post when they want a rule
// stopped: who signed or presented what, and which alarms are raised. What is
// done about an alarm is its caller's.
package monitors

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxBody is the longest message in bytes. Alertmanager's grow with the group.
const MaxBody = 1 << 20

// tolerance is how far a signed message's time may be from the clock, as the
// Standard Webhooks specification advises.
const tolerance = 5 * time.Minute

// Alarm is one reason to stop a rule.
type Alarm struct {
	Rule  string    // empty: the message names none
	Why   string    // for people, at most maxWhy bytes
	Since time.Time // when it was raised; zero: the message doesn't say
}

const maxWhy = 500

var (
	// ErrUnauthorised is returned for a message that doesn't show the secret.
	ErrUnauthorised = errors.New("the secret, or the signature, is missing or wrong")
	// ErrMalformed is returned for a message of no form that is known.
	ErrMalformed = errors.New("not a message of Alertmanager, PagerDuty or {\"rule\": …, \"why\": …}")
)

// Authorised says whether a message shows the secret. One that is signed, by
// PagerDuty's X-PagerDuty-Signature or as the Standard Webhooks specification
// has it, must be signed well; any other presents the secret as a bearer token,
// as the password of Basic authorization or in X-Refract-Token. What it takes
// tells nothing about the secret.
func Authorised(h http.Header, body []byte, secret string, now time.Time) bool {
	if secret == "" {
		return false
	}
	if lines := h.Values("X-PagerDuty-Signature"); len(lines) > 0 {
		return signedBy(lines, ",", "v1=", hex.EncodeToString(sum([]byte(secret), body)))
	}
	if lines := h.Values("Webhook-Signature"); len(lines) > 0 {
		id, stamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
		at, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || id == "" || now.Sub(time.Unix(at, 0)).Abs() > tolerance {
			return false
		}
		key := []byte(secret)
		if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
			if key, err = base64.StdEncoding.DecodeString(encoded); err != nil || len(key) == 0 {
				return false
			}
		}
		signed := append([]byte(id+"."+stamp+"."), body...)
		return signedBy(lines, " ", "v1,", base64.StdEncoding.EncodeToString(sum(key, signed)))
	}
	presented := []string{h.Get("X-Refract-Token")}
	if scheme, rest, ok := strings.Cut(h.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		presented = append(presented, strings.TrimSpace(rest))
	}
	if _, password, ok := (&http.Request{Header: h}).BasicAuth(); ok {
		presented = append(presented, password)
	}
	yes := 0
	for _, p := range presented {
		yes |= equal(p, secret)
	}
	return yes == 1
}

// signedBy says whether one of the signatures in the lines is the right one.
// There are several while a secret is being replaced.
func signedBy(lines []string, separator, version, want string) bool {
	yes := 0
	for _, line := range lines {
		for s := range strings.SplitSeq(line, separator) {
			if s, ok := strings.CutPrefix(strings.TrimSpace(s), version); ok {
				yes |= equal(s, want)
			}
		}
	}
	return yes == 1
}

func sum(key, message []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(message)
	return h.Sum(nil)
}

// equal is 1 if the texts are the same, in a time that depends on neither.
func equal(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// message is every form at once: each has members that the others lack.
type message struct {
	// Alertmanager's webhook, version 4, and Grafana's, which is made after it.
	Alerts []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		StartsAt    time.Time         `json:"startsAt"`
	} `json:"alerts"`
	// PagerDuty's webhook, version 3.
	Event *struct {
		Type     string    `json:"event_type"`
		Occurred time.Time `json:"occurred_at"`
		Data     struct {
			Title string `json:"title"`
		} `json:"data"`
	} `json:"event"`
	// The plain form, and what a template of Datadog is told to send.
	Rule   *string   `json:"rule"`
	Why    string    `json:"why"`
	Status string    `json:"status"`
	At     time.Time `json:"at"`
}

// RuleLabel is the label of an alert that names the rule.
const RuleLabel = "refract_rule"

// Read returns the alarms that a message raises. One that says that something is
// over, or is as it was, raises none.
func Read(body []byte) ([]Alarm, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var alarms []Alarm
	switch {
	case m.Alerts != nil:
		for _, a := range m.Alerts {
			if a.Status == "firing" {
				why := cmp.Or(a.Annotations["summary"], a.Annotations["description"], a.Labels["alertname"])
				alarms = append(alarms, Alarm{a.Labels[RuleLabel], cut(why), a.StartsAt})
			}
		}
	case m.Event != nil:
		if m.Event.Type == "incident.triggered" {
			alarms = append(alarms, Alarm{Why: cut(m.Event.Data.Title), Since: m.Event.Occurred})
		}
	case m.Rule != nil:
		if raised(m.Status) {
			alarms = append(alarms, Alarm{*m.Rule, cut(m.Why), m.At})
		}
	default:
		return nil, ErrMalformed
	}
	return alarms, nil
}

// raised says whether a status of the plain form raises an alarm: none, and
// those of Datadog's $ALERT_TRANSITION, do.
func raised(status string) bool {
	switch strings.ToLower(status) {
	case "", "firing", "triggered", "re-triggered", "renotify", "no data", "re-no data":
		return true
	}
	return false
}

func cut(s string) string {
	if len(s) <= maxWhy {
		return s
	}
	return strings.ToValidUTF8(s[:maxWhy], "")
}
