package ingest

import (
	"net/http"
	"net/url"
	"strings"
)

// Consent is the cookie by which a browser says that its visitor agreed to be
// followed: Value is all of its value, or Contains a part of it.
type Consent struct{ Cookie, Value, Contains string }

// Why a request is not kept.
const (
	WithheldConsent = "consent" // the cookie is not there, or says something else
	WithheldGPC     = "gpc"     // the visitor opted out: Sec-GPC
)

// WithheldReasons lists every reason.
var WithheldReasons = [...]string{WithheldConsent, WithheldGPC}

// withheld says why a request must not be kept, if so. A server has no
// cookies of a visitor's, and asks for consent itself.
func (m *Mount) withheld(r *http.Request) string {
	switch {
	case m.Consent == nil || !ofBrowser(r):
		return ""
	case r.Header.Get("Sec-Gpc") == "1":
		return WithheldGPC
	case !m.Consent.given(r):
		return WithheldConsent
	}
	return ""
}

// given says whether a request has the cookie, with what it must say. Of
// several with its name, as of different paths, all must say it.
func (c *Consent) given(r *http.Request) bool {
	cookies := r.CookiesNamed(c.Cookie)
	for _, cookie := range cookies {
		if !c.says(cookie.Value) {
			if plain, err := url.PathUnescape(cookie.Value); err != nil || !c.says(plain) {
				return false
			}
		}
	}
	return len(cookies) > 0
}

func (c *Consent) says(value string) bool {
	if c.Contains != "" {
		return strings.Contains(value, c.Contains)
	}
	return value == c.Value
}

// ofBrowser says whether a page sent a request: by what browsers add to each
// (Fetch standard; Fetch Metadata), and SDKs for servers and apps don't. A page
// can have most of that left out (an image without a referrer, over plain HTTP),
// but not how every browser's User-Agent begins.
func ofBrowser(r *http.Request) bool {
	if strings.HasPrefix(r.UserAgent(), "Mozilla/") {
		return true
	}
	for _, name := range [...]string{"Cookie", "Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Gpc"} {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return false
}
