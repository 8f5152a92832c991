// Package amplitude takes events as Amplitude's HTTP V2 and Batch APIs do, so
// that an app's own Amplitude SDK can send to the edge.
//
// Answers are Amplitude's, and always have a code: its SDKs read that and not
// the status. After a refusal that names the events at fault they drop those
// and send the others again; after one of the whole request they drop it, or
// send smaller batches if the code is 413. After a 503 all is sent again, where
// the insert_id keeps what is repeated from being counted twice.
package amplitude

import (
	"errors"
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Source is the Source of the events that come this way.
const Source = "amplitude"

// Handler serves POST /2/httpapi and /batch, and the remote configuration that
// the browser SDK can be told to ask for here. The mount's prefix must be
// stripped before. It is safe for concurrent use.
//
// A sender presents the project's API key as the body's api_key.
type Handler struct{ ingest.Mount }

type object map[string]any

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ingest.CrossOrigin(w, r) {
		return
	}
	path := strings.TrimSuffix(r.URL.Path, "/")
	if key, ok := strings.CutPrefix(path, "/config/"); ok && r.Method == http.MethodGet {
		if !h.Allows(key) {
			h.refuse(w, ingest.BadKey("API key"))
			return
		}
		ingest.WriteJSON(w, http.StatusOK, object{"configs": object{}})
		return
	}
	n, size, err := h.take(w, r, path)
	if err != nil {
		h.refuse(w, err)
		return
	}
	ingest.WriteJSON(w, http.StatusOK, object{
		"code": http.StatusOK, "events_ingested": n, "payload_size_bytes": size,
		"server_upload_time": h.Clock().Received.UnixMilli(),
	})
}

// take stores the request's events and returns how many there were, and in how
// many bytes.
func (h *Handler) take(w http.ResponseWriter, r *http.Request, path string) (n, size int, err error) {
	if path != "/2/httpapi" && path != "/batch" {
		return 0, 0, ingest.NoPath()
	}
	if r.Method != http.MethodPost {
		return 0, 0, ingest.NotPosted()
	}
	raw, err := ingest.Body(w, r)
	if err != nil {
		return 0, 0, err
	}
	body, err := ingest.Decode(raw)
	if err != nil {
		return 0, 0, err
	}
	if key, _ := body["api_key"].(string); !h.Allows(key) {
		return 0, 0, ingest.BadKey("API key")
	}
	items, err := body.List("events")
	if err != nil {
		return 0, 0, err
	}
	if len(items) == 0 {
		return 0, 0, events.Refuse(events.RefusedType, "events is needed")
	}
	batch, err := decode(items, body, h.Clock(), h.Account)
	if err != nil {
		return 0, 0, err
	}
	return len(items), len(raw), h.Store(r, batch)
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	a := h.Refuse(w, err)
	answer := object{"code": a.Status, "error": a.Text}
	var at *fault
	switch {
	case a.Reason == events.RefusedAuth:
		answer["error"] = "Invalid API key: " + a.Text // what the SDKs drop a request by
	case a.Status >= http.StatusInternalServerError || a.Reason == events.RefusedSize:
	case errors.As(err, &at):
		answer["events_with_invalid_fields"] = object{at.field: at.items}
		answer["events_with_missing_fields"] = object{}
	default:
		answer["missing_field"] = "events" // none could be read: the SDKs drop the request
	}
	ingest.WriteJSON(w, a.Status, answer)
}
