package proxy

import (
	"strings"

	"github.com/seed14307185/refract/rules"
)

// browser is the class of a client by its User-Agent. Every browser begins with
// "Mozilla/" (or, long ago, "Opera/"), and those of Chromium name WebKit and
// Gecko too, those of WebKit Gecko: so the order matters.
func browser(userAgent string) rules.Browser {
	switch has := func(token string) bool { return strings.Contains(userAgent, token) }; {
	case !strings.HasPrefix(userAgent, "Mozilla/") && !strings.HasPrefix(userAgent, "Opera/"):
		return rules.App
	case has("Chrome/"), has("Chromium/"):
		return rules.Chromium
	case has("AppleWebKit/"):
		return rules.Safari
	case has("Firefox/"):
		return rules.Firefox
	}
	return rules.OtherBrowser
}
