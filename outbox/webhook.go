package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/seed14307185/refract/store"
)

// webhook takes CloudEvents 1.0, in the batched content mode of the HTTP
// binding, signed as Standard Webhooks 1.0 say: with the HMAC-SHA256 of the
// message's id, the time and the body.
type webhook struct{ url, secret string }

func (w *webhook) limits() (events, bytes int) { return 500, 1_000_000 }

func (w *webhook) event(x *store.Exposed) (any, Reason) {
	return cloudEvent("refract.exposure", "/refract/rules/"+x.Rule, x.ID, x.UnitID, x.At, x), ""
}

// cloudEvent returns an event in the form of CloudEvents 1.0.
func cloudEvent(kind, source, id, subject string, at time.Time, data any) any {
	return struct {
		SpecVersion string `json:"specversion"`
		ID          string `json:"id"`
		Source      string `json:"source"`
		Type        string `json:"type"`
		Subject     string `json:"subject,omitempty"`
		Time        string `json:"time"`
		ContentType string `json:"datacontenttype"`
		Data        any    `json:"data"`
	}{"1.0", id, source, kind, subject, stamp(at), "application/json", data}
}

func (w *webhook) request(events []json.RawMessage, now time.Time) (*http.Request, error) {
	req, err := posted(w.url, events)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json; charset=utf-8")
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	sent, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(sent)
	id := fmt.Sprintf("msg_%x", sum[:16]) // the same for the same events
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", fmt.Sprint(now.Unix()))
	if w.secret != "" {
		mac := hmac.New(sha256.New, signingKey(w.secret))
		fmt.Fprintf(mac, "%s.%d.%s", id, now.Unix(), sent)
		req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return req, nil
}

// signingKey is the key that a secret stands for: base64 after "whsec_", else
// the text itself.
func signingKey(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(secret)
}

func (w *webhook) judge(a *answer, _ int) verdict { return byStatus(a) }
