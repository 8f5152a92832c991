package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed14307185/refract/events"
)

// JSON returns the request's body, which is a JSON object: Decode of Body.
func JSON(w http.ResponseWriter, r *http.Request) (Fields, error) {
	raw, err := Body(w, r)
	if err != nil {
		return nil, err
	}
	return Decode(raw)
}

// Body returns the request's body, of at most events.MaxBody bytes: see
// BodyUpTo.
func Body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return BodyUpTo(w, r, events.MaxBody)
}

// BodyUpTo returns the request's body of at most so many bytes, decompressed if
// it is gzip. Neither Content-Type nor Content-Encoding is asked: SDKs send gzip
// without saying so, and JSON as text or as a form. Afterwards the request has its
// body again, as it was sent.
func BodyUpTo(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	tooLong := events.Refuse(events.RefusedSize, "the body is longer than %d bytes", most)
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		return nil, tooLong
	}
	if err != nil {
		return nil, events.Refuse(events.RefusedBody, "the body ended early")
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	broken := events.Refuse(events.RefusedBody, "the body is broken gzip")
	unzip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, broken
	}
	raw, err = io.ReadAll(io.LimitReader(unzip, most+1))
	if err != nil {
		return nil, broken
	}
	if int64(len(raw)) > most {
		return nil, tooLong
	}
	return raw, nil
}

// unwrap returns the JSON that a body is: as it stands, in base64, or either
// as the parameter data of a form, with what the form has beside it.
func unwrap(raw []byte) (value []byte, beside url.Values, err error) {
	text := strings.TrimSpace(string(raw))
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return raw, nil, nil
	}
	if strings.Contains(text, "data=") {
		if beside, err = url.ParseQuery(text); err != nil {
			return nil, nil, events.Refuse(events.RefusedBody, "the body is a broken form")
		}
		if text = strings.TrimSpace(beside.Get("data")); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
			return []byte(text), beside, nil
		}
	}
	if text == "" {
		return nil, beside, events.Refuse(events.RefusedJSON, "not one JSON value: there is nothing")
	}
	value, err = Base64(text)
	return value, beside, err
}

// base64Text makes one alphabet of both. A plus that a form was not told to
// escape has become a space.
var base64Text = strings.NewReplacer("-", "+", "_", "/", " ", "+", "\r", "", "\n", "")

// Base64 decodes base64 of either alphabet, padded or not.
func Base64(text string) ([]byte, error) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(base64Text.Replace(text), "="))
	if err != nil {
		return nil, events.Refuse(events.RefusedBody, "the body is neither JSON nor base64")
	}
	return raw, nil
}

// WriteJSON answers with a value as JSON, which no cache may keep.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// prefix is what the mount stripped off the path.
func prefix(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	prefix, ok := strings.CutSuffix(path, r.URL.EscapedPath())
	if !ok || !strings.HasPrefix(prefix, "/") {
		return ""
	}
	return prefix
}

// Payload returns the JSON of a request, which is its body as it stands, in
// base64, or either as the parameter data of a form; or that parameter of a GET,
// which old and small SDKs send. The parameters are those of the URL, and those
// of the form, also beside an error.
func Payload(w http.ResponseWriter, r *http.Request) (value []byte, parameters url.Values, err error) {
	parameters = r.URL.Query()
	switch r.Method {
	case http.MethodPost:
		raw, err := Body(w, r)
		if err != nil {
			return nil, parameters, err
		}
		value, beside, err := unwrap(raw)
		for name, values := range beside {
			parameters[name] = append(parameters[name], values...)
		}
		return value, parameters, err
	case http.MethodGet:
		value, _, err = unwrap([]byte("data=" + url.QueryEscape(parameters.Get("data"))))
		return value, parameters, err
	}
	return nil, parameters, NotPosted()
}
