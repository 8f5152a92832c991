// Package segment takes events as Twilio Segment's HTTP Tracking API does, so
// that an app's own Segment SDK can send to the edge.
//
// A request is all or nothing: if one message of a batch can't be taken, the
// answer is 400 with its index and the reason, and nothing is stored; if the
// answer is 200, all of it is on disk. Segment itself answers 200 to nearly
// everything and drops what it dislikes later; here a sender learns of it.
//
// Answers are JSON. Success is 200 {"success":true}. A refusal carries
// "success":false, a one-word "code" (see events.RefusedReasons) and a
// "message". Segment's SDKs drop a batch on 400 and repeat it on 5xx, where
// the messageId keeps what is repeated from being counted twice.
package segment

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Source is the Source of the events that come this way.
const Source = "segment"

// Handler serves POST /v1/{track,identify,group,page,screen,alias,batch}, the
// browser SDK's names for them (the first letters), and the settings that this
// SDK asks for first. The mount's prefix must be stripped before. It is safe for
// concurrent use.
//
// A sender presents the key as the user name of Basic authorization or as the
// body's writeKey.
type Handler struct{ ingest.Mount }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ingest.CrossOrigin(w, r) {
		return
	}
	if key, ok := settingsOf(r); ok {
		h.settings(w, r, key)
		return
	}
	if err := h.take(w, r); err != nil {
		h.refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"success":true}`+"\n")
}

// take stores the request's events.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	call, ok := Call(r.URL.Path)
	if !ok {
		return ingest.NoPath()
	}
	if r.Method != http.MethodPost {
		return ingest.NotPosted()
	}
	raw, err := ingest.Body(w, r)
	if err != nil {
		return err
	}
	body, err := object(raw)
	// The header alone is not asked: on a site behind a password the browser
	// fills it by itself.
	name, _, _ := r.BasicAuth()
	inBody, _ := body["writeKey"].(string)
	if !h.Allows(name, inBody) {
		return ingest.BadKey("write key")
	}
	if err != nil {
		return err
	}
	batch, err := Decode(Source, call, body, h.Clock())
	if err != nil {
		return err
	}
	return h.Store(r, batch)
}

// settingsOf returns the write key of GET /v1/projects/KEY/settings.
func settingsOf(r *http.Request) (key string, ok bool) {
	key, ok = strings.CutPrefix(r.URL.Path, "/v1/projects/")
	if ok {
		key, ok = strings.CutSuffix(key, "/settings")
	}
	return key, ok && r.Method == http.MethodGet
}

// settings tells the browser SDK to send its events here, and to nobody else.
func (h *Handler) settings(w http.ResponseWriter, r *http.Request, key string) {
	if !h.Allows(key) {
		h.refuse(w, ingest.BadKey("write key"))
		return
	}
	scheme, base := ingest.Base(r)
	type object map[string]any
	ingest.WriteJSON(w, http.StatusOK, object{
		"integrations": object{"Segment.io": object{
			"apiKey": key, "apiHost": base + "/v1", "protocol": scheme, "addBundledMetadata": true,
			"unbundledIntegrations": []string{}, "maybeBundledConfigIds": object{}, "versionSettings": object{"version": "4.4.7", "componentTypes": []string{"browser"}},
		}},
		"plan":                      object{"track": object{"__default": object{"enabled": true, "integrations": object{}}}},
		"edgeFunction":              object{},
		"enabledMiddleware":         object{},
		"metrics":                   object{"sampleRate": 0},
		"legacyVideoPluginsEnabled": false,
		"remotePlugins":             []any{},
		"analyticsNextEnabled":      true,
		"middlewareSettings":        object{},
	})
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	a := h.Refuse(w, err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	json.NewEncoder(w).Encode(struct {
		Success bool   `json:"success"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}{false, a.Reason, a.Text})
}

// object reads a body that is one JSON object.
func object(raw []byte) (ingest.Fields, error) {
	v, err := events.DecodeJSON(raw)
	if err != nil {
		return nil, err
	}
	body, ok := v.(map[string]any)
	if !ok {
		return nil, events.Refuse(events.RefusedType, "the body is not an object")
	}
	return body, nil
}
