// Package posthog takes events as PostHog's capture endpoints do, so that an
// app's own PostHog SDK can send to the edge.
//
// Answers are PostHog's: {"status":"Ok"}, or an object with type, code and
// detail. Its SDKs drop what they sent on a 4xx and repeat it on a 5xx, where
// the uuid keeps what is repeated from being counted twice; after a 413, its
// server SDKs send smaller batches.
package posthog

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Source is the Source of the events that come this way.
const Source = "posthog"

// Handler serves the capture endpoints, old and new, and answers what the SDKs
// ask beside them: that there are no feature flags, no recordings and no
// surveys here. The mount's prefix must be stripped before. It is safe for
// concurrent use.
//
// A sender presents the project's API key as api_key or token of the body, as
// token of each event, or as a bearer token.
type Handler struct{ ingest.Mount }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ingest.CrossOrigin(w, r) {
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	var err error
	switch path {
	case "/e", "/i/v0/e", "/track", "/engage", "/capture", "/batch":
		if err = h.take(w, r); err == nil {
			ingest.WriteJSON(w, http.StatusOK, object{"status": "Ok"})
		}
	case "/i/v1/analytics/events":
		var results object
		if results, err = h.takeV1(w, r); err == nil {
			ingest.WriteJSON(w, http.StatusOK, object{"results": results})
		}
	case "/flags":
		err = h.flags(w, r, object{"flags": object{}, "requestId": ""})
	case "/decide":
		err = h.flags(w, r, object{"featureFlags": object{}, "supportedCompression": []string{"gzip", "gzip-js"}, "sessionRecording": false})
	case "/s", "/i/v1/logs", "/i/v1/metrics":
		ingest.WriteJSON(w, http.StatusOK, object{"status": "Ok"}) // none of it is an event
	default:
		if key, script, ok := configOf(r); ok {
			err = h.config(w, key, script)
		} else {
			err = ingest.NoPath()
		}
	}
	if err != nil {
		h.refuse(w, err)
	}
}

type object map[string]any

// take stores the events of an endpoint of the older kind.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	raw, parameters, err := ingest.Payload(w, r)
	if err != nil {
		return err
	}
	if parameters.Get("compression") == "lz64" {
		return events.Refuse(events.RefusedBody, "the compression lz64 is not understood: use gzip-js or base64")
	}
	body, err := events.DecodeJSON(raw)
	if err != nil {
		return err
	}
	m, err := h.messages(body)
	if err != nil {
		return err
	}
	batch, err := m.decode(h.Clock(), h.Account)
	if err != nil {
		return err
	}
	return h.Store(r, batch)
}

// takeV1 stores the events of the newer endpoint, whose answer has a result for
// each.
func (h *Handler) takeV1(w http.ResponseWriter, r *http.Request) (object, error) {
	if r.Method != http.MethodPost {
		return nil, ingest.NotPosted()
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !h.Allows(token) {
		return nil, ingest.BadKey("project API key")
	}
	body, err := ingest.JSON(w, r)
	if err != nil {
		return nil, err
	}
	m := messages{sent: "created_at", body: body}
	if m.items, err = body.List("batch"); err != nil {
		return nil, err
	}
	batch, err := m.decode(h.Clock(), h.Account)
	if err != nil {
		return nil, err
	}
	results := object{}
	for _, item := range m.items {
		if id, _ := item.(map[string]any)["uuid"].(string); id != "" {
			results[id] = object{"result": "ok"}
		}
	}
	return results, h.Store(r, batch)
}

// flags answers a question for feature flags.
func (h *Handler) flags(w http.ResponseWriter, r *http.Request, answer object) error {
	raw, _, err := ingest.Payload(w, r)
	if err != nil {
		return err
	}
	body, err := ingest.Decode(raw)
	if err != nil {
		return err
	}
	if !h.Allows(keys(body)...) {
		return ingest.BadKey("project API key")
	}
	answer["featureFlags"], answer["featureFlagPayloads"], answer["errorsWhileComputingFlags"] = object{}, object{}, false
	ingest.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// configOf returns the key of GET /array/KEY/config, or of the same as a
// script.
func configOf(r *http.Request) (key string, script, ok bool) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/array/")
	key, name, _ := strings.Cut(rest, "/")
	return key, name == "config.js", ok && (name == "config" || name == "config.js") && r.Method == http.MethodGet
}

// config tells the browser SDK what is there. What is not said to be there, it
// leaves alone.
func (h *Handler) config(w http.ResponseWriter, key string, script bool) error {
	if !h.Allows(key) {
		return ingest.BadKey("project API key")
	}
	config := object{
		"token": key, "supportedCompression": []string{"gzip", "gzip-js"}, "hasFeatureFlags": false,
		"captureDeadClicks": false, "capturePerformance": false, "autocapture_opt_out": false, "autocaptureExceptions": false,
		"analytics": object{"endpoint": "/e/"}, "elementsChainAsString": true, "errorTracking": object{"autocaptureExceptions": false},
		"sessionRecording": false, "heatmaps": false, "surveys": false, "productTours": false, "conversations": false,
		"defaultIdentifiedOnly": true, "siteApps": []any{},
	}
	if !script {
		ingest.WriteJSON(w, http.StatusOK, config)
		return nil
	}
	w.Header().Set("Content-Type", "application/javascript")
	w.Header().Set("Cache-Control", "no-store")
	configText, err := json.Marshal(config)
	if err != nil {
		return err
	}
	keyText, err := json.Marshal(key)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "(function(w){(w._POSTHOG_REMOTE_CONFIG=w._POSTHOG_REMOTE_CONFIG||{})[%s]={config:%s,siteApps:[]}})(window);\n", keyText, configText)
	return nil
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	a := h.Refuse(w, err)
	kind, code := "validation_error", "invalid_payload"
	switch a.Reason {
	case events.RefusedAuth:
		kind, code = "authentication_error", "invalid_api_key"
	case events.RefusedPath:
		kind, code = "invalid_request", "not_found"
	case events.RefusedMethod:
		kind, code = "invalid_request", "method_not_allowed"
	case events.RefusedSize:
		code = "payload_too_large"
	case events.RefusedUnavailable:
		kind, code = "server_error", "service_unavailable"
	}
	ingest.WriteJSON(w, a.Status, object{"type": kind, "code": code, "detail": a.Text, "attr": nil})
}
