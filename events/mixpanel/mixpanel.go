// Package mixpanel takes events as Mixpanel's ingestion API does, so that an
// app's own Mixpanel SDK can send to the edge.
//
// Answers are Mixpanel's: the text 1 or 0, with verbose=1 an object with status
// and error, and for an import one with code. Its server SDKs read nothing but
// that text; the browser SDK drops what it sent on a 4xx, sends it again on a
// 5xx, and sends smaller batches after a 413.
package mixpanel

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

// Source is the Source of the events that come this way.
const Source = "mixpanel"

// Handler serves /track, /engage, /groups and /import, by POST and by GET, and
// what the browser SDK asks beside them. The mount's prefix must be stripped
// before. It is safe for concurrent use.
//
// A sender presents the project's token in each message; an import may present
// it as the user name of Basic authorization.
type Handler struct{ ingest.Mount }

type object map[string]any

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ingest.CrossOrigin(w, r) {
		return
	}
	switch path := strings.TrimSuffix(r.URL.Path, "/"); path {
	case "/track", "/engage", "/groups", "/import":
		raw, parameters, err := ingest.Payload(w, r)
		n := 0
		if err == nil {
			n, err = h.take(r, path, raw, parameters)
		}
		h.answer(w, parameters, path, n, err)
	case "/settings":
		if token, _, _ := r.BasicAuth(); !h.Allows(token) {
			h.answer(w, r.URL.Query(), path, 0, ingest.BadKey("token"))
			return
		}
		ingest.WriteJSON(w, http.StatusOK, object{"sdk_config": object{"config": object{"record_sessions_percent": 0}}})
	case "/flags":
		if token, _, _ := r.BasicAuth(); !h.Allows(token) {
			h.answer(w, r.URL.Query(), path, 0, ingest.BadKey("token"))
			return
		}
		ingest.WriteJSON(w, http.StatusOK, object{"flags": object{}})
	case "/decide":
		ingest.WriteJSON(w, http.StatusOK, object{"notifications": []any{}, "config": object{"enable_collect_everything": false}})
	case "/record":
		ingest.WriteJSON(w, http.StatusOK, object{"code": http.StatusOK, "status": "OK"}) // recordings are no events
	default:
		h.answer(w, r.URL.Query(), path, 0, ingest.NoPath())
	}
}

// take stores the request's messages and returns how many there were.
func (h *Handler) take(r *http.Request, path string, raw []byte, parameters url.Values) (n int, err error) {
	var items []any
	if path == "/import" && strings.Contains(r.Header.Get("Content-Type"), "ndjson") {
		items, err = lines(raw)
	} else {
		items, err = list(raw)
	}
	if err != nil {
		return 0, err
	}
	authorized := false
	if path == "/import" {
		token, _, _ := r.BasicAuth()
		authorized = h.Allows(token)
	}
	sent, err := ingest.Fields{"_": parameters.Get("_")}.Epoch("_")
	if err != nil {
		return 0, err
	}
	d := decoder{path: path, clock: h.Clock(), account: h.Account, sent: sent}
	if !authorized {
		for _, item := range items {
			if !h.Allows(token(item)) {
				return 0, ingest.BadKey("token")
			}
		}
	}
	if len(items) == 0 && !authorized {
		return 0, ingest.BadKey("token")
	}
	batch, err := d.decode(items)
	if err != nil {
		return 0, err
	}
	return len(items), h.Store(r, batch)
}

// list reads a body that is one message or an array of them.
func list(raw []byte) ([]any, error) {
	body, err := events.DecodeJSON(raw)
	if err != nil {
		return nil, err
	}
	switch v := body.(type) {
	case map[string]any:
		return []any{v}, nil
	case []any:
		return ingest.Fields{"the body": v}.List("the body")
	}
	return nil, events.Refuse(events.RefusedType, "the body is neither an object nor an array")
}

// lines reads a body that has one message a line.
func lines(raw []byte) ([]any, error) {
	var items []any
	for line := range strings.SplitSeq(string(raw), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		v, err := events.DecodeJSON([]byte(line))
		if err != nil {
			return nil, err
		}
		items = append(items, v)
	}
	return ingest.Fields{"the body": items}.List("the body")
}

// answer says that all of it is stored, or why nothing is.
func (h *Handler) answer(w http.ResponseWriter, parameters url.Values, path string, n int, err error) {
	status, text := http.StatusOK, ""
	if err != nil {
		a := h.Refuse(w, err)
		status, text = a.Status, a.Text
	}
	switch {
	case path == "/import" && err == nil:
		ingest.WriteJSON(w, status, object{"code": status, "num_records_imported": n, "status": "OK"})
	case path == "/import":
		ingest.WriteJSON(w, status, object{"code": status, "error": text, "status": http.StatusText(status)})
	case parameters.Get("verbose") == "1" && err == nil:
		ingest.WriteJSON(w, status, object{"status": 1, "error": nil})
	case parameters.Get("verbose") == "1":
		ingest.WriteJSON(w, status, object{"status": 0, "error": text})
	default:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		if err == nil {
			io.WriteString(w, "1")
		} else {
			io.WriteString(w, "0")
		}
	}
}
