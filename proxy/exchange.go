package proxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// Exchange is one request and what became of it.
type Exchange struct {
	Request  *http.Request
	Revision string
	Start    time.Time // by Proxy.Now
	Took     time.Duration
	Status   int
	Bytes    int64
	// Decision is what was decided, Sightings what was found of it on the page,
	// in the same order. Empty where no rule applies.
	Decision  rules.Decision
	Sightings []rewrite.Sighting
	// HeldOut says that the visitor or their account is in the site's holdout, on a
	// page that a rule could touch.
	HeldOut bool
	// Passthrough says why a page that a rule could touch went through
	// untouched: one of the Reason constants, or empty.
	Passthrough Reason
	// OriginError is why the origin's answer is missing or cut short, or nil.
	OriginError error
	// ClientGone says that it was the client who ended the exchange.
	ClientGone bool
	// Broken is what kept the page from coming whole, from the origin, which may
	// have sent it in another content coding than it said, or through the rewriter;
	// or nil. What the client did is not in it.
	Broken error
	// Lost is what was decided, where a defect of ours kept it from the page.
	Lost rules.Decision
	// Answered is how long it took until the origin's head was there. 0: it never was.
	Answered time.Duration
	// Treated says that a region of this response was swapped.
	Treated bool
	// Rewriting is what the page's rewriting took, its decoding included, the
	// waiting for the origin not. 0: it was not rewritten.
	Rewriting time.Duration
	// Proof compares the page with the origin's; nil: Proxy.Prove did not want
	// that, or it did not come whole.
	Proof *Proof
	// Origin is the server that answered, as the host in the transport's
	// Response.Request. Empty: none did.
	Origin string

	began      time.Time // by the machine's clock
	set        *rules.Set
	path       string // as the origin sees it
	sent       *clientBody
	who        identity
	unfit      Reason // why who is empty on purpose
	recognised bool   // who or unfit is filled in
	body       *page
	upgraded   bool
	// Of the validators: see conditions.
	conditional bool               // a condition of the visitor's was kept from the origin
	held        string             // the visitor's tag that the origin was asked about
	heldFinds   []rewrite.Sighting // what was found on that page
	tag         string             // of the page that is sent; empty: none
	again       bool               // the visitor was told to show the page that they hold
	version     [2]int             // of the origin's answer; zero: there is none
	asked       time.Time          // when the origin was, if Server-Timing is wanted
	touched     bool               // a rule could apply on this page, for somebody
}

// Reason says why a page went through untouched.
type Reason string

// The reasons.
const (
	ReasonMethod      Reason = "method"       // not GET or HEAD
	ReasonGPC         Reason = "gpc"          // the visitor opted out: Sec-GPC
	ReasonBot         Reason = "bot"          // crawlers and monitors get the app's own page
	ReasonPrefetch    Reason = "prefetch"     // nobody may ever look at it
	ReasonUpgrade     Reason = "upgrade"      // not a page
	ReasonUnknown     Reason = "unknown"      // a visitor without an id
	ReasonStatus      Reason = "status"       // not 200
	ReasonType        Reason = "type"         // not text/html
	ReasonAttachment  Reason = "attachment"   // to be saved, not shown
	ReasonNoTransform Reason = "no-transform" // RFC 9110 section 7.7
	ReasonCoding      Reason = "coding"       // a content coding that can't be undone, or that the page isn't in
	ReasonSigned      Reason = "signed"       // a signature over the body
	ReasonCharset     Reason = "charset"      // see package rewrite
	ReasonInternal    Reason = "internal"     // a defect of ours: look at the log
)

// Reasons lists every reason.
var Reasons = [...]Reason{ReasonMethod, ReasonGPC, ReasonBot, ReasonPrefetch, ReasonUpgrade, ReasonUnknown, ReasonStatus,
	ReasonType, ReasonAttachment, ReasonNoTransform, ReasonCoding, ReasonSigned, ReasonCharset, ReasonInternal}

func (x *Exchange) skip(why Reason) {
	if x.touched {
		x.Passthrough = why
	}
}

// pathOf is the path of the request line, byte for byte.
func pathOf(r *http.Request) string {
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		return path
	}
	return r.URL.EscapedPath() // an absolute target, or one that would be taken for a host
}

// bot says whether a user agent names itself as a machine that reads for
// others. It is told by its own words alone: this is about counting people,
// not about keeping anyone out.
func bot(userAgent string) bool {
	for i := range len(userAgent) {
		first := userAgent[i] | 0x20 // the small letter, where it is one
		for _, word := range botWords {
			if word[0] == first && len(userAgent)-i >= len(word) && strings.EqualFold(userAgent[i:i+len(word)], word) && !phone(userAgent[:i]) {
				return true
			}
		}
	}
	return false
}

// phone says whether what precedes a word makes it Cubot, a maker of phones.
func phone(before string) bool {
	n := len(before)
	return n >= 2 && strings.EqualFold(before[n-2:], "cu") && (n == 2 || before[n-3] == ' ' || before[n-3] == '_')
}

var botWords = [...]string{"bot", "crawl", "spider", "slurp", "facebookexternalhit", "bingpreview", "lighthouse", "pingdom", "uptime"}

func prefetch(r *http.Request) bool {
	for _, h := range [...]string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if v := r.Header.Get(h); v != "" && (strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview")) {
			return true
		}
	}
	return false
}

// mayBePage says whether the answer could be a page that somebody looks at.
// Where no surface says on which pages it is, assets and downloads must not be
// taken for one. A part is asked for of a page only by who says so.
func mayBePage(r *http.Request) bool {
	if r.Header.Get("Service-Worker") == "script" {
		return false
	}
	part := r.Header["Range"] != nil
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "document", "iframe", "frame":
		return true
	case "empty":
		return !part
	case "":
		accept := r.Header.Get("Accept")
		return strings.Contains(accept, "text/html") || !part && (accept == "" || strings.Contains(accept, "*/*"))
	}
	return false
}
