package ingest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// told are the fields of a request that are sent on: what says how to read the
// body, and what the vendors' APIs ask for. Cookies are the site's own, and so is
// whatever a proxy in front adds.
var told = []string{"Accept", "Anonymousid", "Content-Encoding", "Content-Type", "Dnt", "Sec-Gpc", "User-Agent"}

// ofVendors are the beginnings of fields that vendors have made up.
var ofVendors = []string{"Posthog-", "X-Amplitude-", "X-Braze-", "X-Mixpanel-", "X-Posthog-", "X-Rudder-", "X-Segment-"}

// What is sent on says so by CDN-Loop (RFC 8586), so that a tee that leads back
// here, perhaps by way of others, comes to an end.
const (
	loopField = "Cdn-Loop"
	pseudonym = "refract"
	maxLoops  = 3 // one edge may send on to another
)

// sentOn is how often a tee has sent a request on already.
func sentOn(r *http.Request) (n int) {
	for _, line := range r.Header[loopField] {
		for entry := range strings.SplitSeq(line, ",") {
			if id, _, _ := strings.Cut(entry, ";"); strings.EqualFold(strings.TrimSpace(id), pseudonym) {
				n++
			}
		}
	}
	return n
}

// letter is a request to be sent on: an HTTP/1.1 message (RFC 9112) to a host
// that is still to be named, with the method, the path below the mount, the
// query, the body byte for byte, the fields above, Authorization if it is the
// source's, CDN-Loop, and the sender's address in X-Forwarded-For. Whoever sends it reads
// it with http.ReadRequest.
func (m *Mount) letter(r *http.Request) ([]byte, error) {
	var body []byte
	if r.Method != http.MethodGet {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil { // in memory: see Body
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	out := &http.Request{
		Method: r.Method, Host: "vendor", Header: http.Header{},
		URL:           &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	for name, lines := range r.Header {
		if slices.Contains(told, name) || slices.ContainsFunc(ofVendors, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
			out.Header[name] = lines
		}
	}
	if _, said := out.Header["User-Agent"]; !said {
		out.Header["User-Agent"] = []string{""} // or Write makes one up
	}
	out.Header[loopField] = append(slices.Clip(r.Header[loopField]), pseudonym)
	if m.vendors(r) {
		out.Header["Authorization"] = r.Header["Authorization"]
	}
	if m.Client != nil {
		if client := m.Client(r); client != "" {
			out.Header.Set("X-Forwarded-For", client)
		}
	}
	var letter bytes.Buffer
	letter.Grow(len(body) + 1024)
	if err := out.Write(&letter); err != nil {
		return nil, err
	}
	return letter.Bytes(), nil
}

// vendors says whether a request's Authorization is for the vendor. A browser
// adds that of a site behind a password by itself, which is nobody else's
// business.
func (m *Mount) vendors(r *http.Request) bool {
	if len(r.Header["Authorization"]) == 0 {
		return false
	}
	name, _, _ := r.BasicAuth()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return m.Allows(name, token) || !ofBrowser(r)
}
