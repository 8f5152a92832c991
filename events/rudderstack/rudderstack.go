// Package rudderstack takes events as RudderStack's data plane does, so that an
// app's own RudderStack SDK can send to the edge.
//
// Messages are Segment's. Answers are plain text, as the data plane's are: OK,
// or what is wrong. Its SDKs drop what they sent on a 4xx and repeat it on a
// 5xx, where the messageId keeps what is repeated from being counted twice.
package rudderstack

import (
	"io"
	"net/http"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/segment"
)

// Source is the Source of the events that come this way.
const Source = "rudderstack"

// Handler serves POST /v1/{track,identify,group,page,screen,alias,batch,import}
// and /beacon/v1/batch, and the configuration that the browser SDK asks of its
// control plane. The mount's prefix must be stripped before. It is safe for
// concurrent use.
//
// A sender presents the key as the user name of Basic authorization; a beacon,
// which has no header, as the parameter writeKey.
type Handler struct{ ingest.Mount }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ingest.CrossOrigin(w, r) {
		return
	}
	var err error
	if strings.TrimSuffix(r.URL.Path, "/") == "/sourceConfig" && r.Method == http.MethodGet {
		err = h.config(w, r)
	} else if err = h.take(w, r); err == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "OK")
	}
	if err != nil {
		h.refuse(w, err)
	}
}

// take stores the request's events.
func (h *Handler) take(w http.ResponseWriter, r *http.Request) error {
	call, ok := callOf(r.URL.Path)
	if !ok {
		return ingest.NoPath()
	}
	if r.Method != http.MethodPost {
		return ingest.NotPosted()
	}
	key, _, _ := r.BasicAuth()
	if strings.HasPrefix(r.URL.Path, "/beacon/") {
		key = r.URL.Query().Get("writeKey")
	}
	if !h.Allows(key) {
		return ingest.BadKey("write key")
	}
	body, err := ingest.JSON(w, r)
	if err != nil {
		return err
	}
	batch, err := segment.Decode(Source, call, body, h.Clock())
	if err != nil {
		return err
	}
	return h.Store(r, batch)
}

// callOf says what a path calls. The one-letter paths are Segment's alone.
func callOf(path string) (name string, ok bool) {
	switch path {
	case "/v1/import", "/beacon/v1/batch":
		return "batch", true
	}
	name, ok = segment.Call(path)
	return name, ok && path == "/v1/"+name
}

// config tells the browser SDK that there is a source, and that its events go
// to no other place.
func (h *Handler) config(w http.ResponseWriter, r *http.Request) error {
	key, _, _ := r.BasicAuth()
	if inQuery := r.URL.Query().Get("writeKey"); !h.Allows(key, inQuery) {
		return ingest.BadKey("write key")
	} else if key == "" {
		key = inQuery
	}
	type object map[string]any
	none := object{"enabled": false}
	ingest.WriteJSON(w, http.StatusOK, object{"source": object{
		"id": "refract", "name": "refract", "writeKey": key, "workspaceId": "refract", "enabled": true,
		"config":       object{"statsCollection": object{"errors": none, "metrics": none}},
		"destinations": []any{}, "connections": []any{}, "dataplanes": object{},
	}})
	return nil
}

func (h *Handler) refuse(w http.ResponseWriter, err error) {
	a := h.Refuse(w, err)
	switch a.Reason {
	case events.RefusedAuth:
		a.Text = "Invalid Write Key"
	case events.RefusedSize:
		a.Text = "Request size exceeds max limit: " + a.Text
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(a.Status)
	io.WriteString(w, a.Text)
}
