package proxy

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// FirstPartyCookie holds the id that the edge gives to a browser that has no
// other. It never reaches the origin.
const FirstPartyCookie = "__Host-refract"

// ownID begins the ids that the edge gives. No other source can give an id that
// begins so: what the cookie holds is believed by its form alone, and may never
// be somebody else's id.
const ownID = "refract:"

// firstPartyAge is as long as browsers keep a cookie at most.
const firstPartyAge = 400 * 24 * time.Hour

// identity is who a request says it is from.
type identity struct {
	visitor   string
	anonymous string // a further id of the same browser, or empty
	browser   string // the visitor's id as the request showed it, if it is a browser's and not a person's
	account   string
	mayMint   bool // no id, and first-party ids are wanted
}

// identify reads the identity sources, in order: the first that has an id
// gives the visitor; a first-party id beside it is the same browser's.
func (p *Proxy) identify(set *rules.Set, r *http.Request) identity {
	var id identity
	firstParty, needsProof, proved := false, false, false
	visitor, account := set.Edge.Identity.Visitor, set.Edge.Identity.Account
	for i := range visitor {
		s := &visitor[i]
		var v string
		var browser bool
		if s.Kind == "first-party" {
			firstParty, browser = true, true
			v = firstPartyID(cookieValue(r.Header, FirstPartyCookie))
		} else {
			v, browser = p.readSource(s, r.Header)
		}
		needsProof = needsProof || s.Proof != nil
		switch {
		case v == "" || v == id.visitor:
		case id.visitor == "":
			id.visitor, proved = v, s.Proof != nil
			if browser {
				id.browser = v
			}
		case s.Kind == "first-party":
			// An id that nobody can guess, and no user's: what is merged is merged for good.
			id.anonymous = v
		}
	}
	if needsProof && !proved {
		id.anonymous = "" // or whoever names a visitor without proof could write into what is known of them
	}
	for i := range account {
		if id.account, _ = p.readSource(&account[i], r.Header); id.account != "" {
			break
		}
	}
	id.mayMint = firstParty && id.visitor == ""
	return id
}

// readSource returns the id that a source has, and whether it is a browser's and
// not a person's.
func (p *Proxy) readSource(s *rules.IdentitySource, h http.Header) (id string, browser bool) {
	if s.Proof != nil {
		return p.proved(s, h), false
	}
	switch s.Kind {
	case "header":
		return validID(h.Get(s.Name)), false
	case "cookie":
	default:
		return vendorID(*s, h)
	}
	v := cookieValue(h, s.Name)
	if strings.IndexByte(v, '%') >= 0 {
		if decoded, err := url.QueryUnescape(strings.ReplaceAll(v, "+", "%2B")); err == nil {
			v = decoded
		}
	}
	return validID(jsonID(v)), s.Name == "ajs_anonymous_id" || s.Name == "rl_anonymous_id"
}

// proved returns the id that a source asks proof for, if it is there.
func (p *Proxy) proved(s *rules.IdentitySource, h http.Header) string {
	var value string
	if s.Kind == "header" {
		value = h.Get(s.Name)
	} else {
		value = cookieValue(h, s.Name)
	}
	if value == "" || p.Verify == nil {
		return ""
	}
	return validID(p.Verify(s, value))
}

// validID returns the id, or nothing if it can't be one.
func validID(s string) string {
	if len(s) > events.MaxID || strings.HasPrefix(s, ownID) || !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return ""
	}
	return s
}

// cookieValue returns the value of the first cookie of that name, without
// parsing the others.
func cookieValue(h http.Header, name string) string {
	for _, line := range h["Cookie"] {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			if n, v, ok := strings.Cut(strings.TrimLeft(part, " \t"), "="); ok && n == name {
				return strings.TrimRight(v, " \t")
			}
		}
	}
	return ""
}

// stripCookie removes a cookie of ours from a request and leaves every other
// byte of the header as it is.
func stripCookie(h http.Header, name string) {
	lines := h["Cookie"]
	own := false // the lines are ours to change
	for i, line := range lines {
		if !strings.Contains(line, name) {
			continue
		}
		if !own {
			lines, own = slices.Clone(lines), true
		}
		var kept []string
		for part := range strings.SplitSeq(line, ";") {
			if n, _, _ := strings.Cut(strings.Trim(part, " \t"), "="); n != name {
				kept = append(kept, part)
			}
		}
		lines[i] = strings.TrimLeft(strings.Join(kept, ";"), " \t")
	}
	if !own {
		return
	}
	if lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" }); len(lines) == 0 {
		delete(h, "Cookie")
	} else {
		h["Cookie"] = lines
	}
}

// firstPartyID returns the id that a cookie of ours holds, or nothing if it
// can't be one.
func firstPartyID(cookie string) string {
	if b, err := base64.RawURLEncoding.DecodeString(cookie); err != nil || len(b) != 16 {
		return ""
	}
	return ownID + cookie
}

// newID returns 128 random bits, for the cookie.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func firstPartyCookie(value string) string {
	c := http.Cookie{
		Name: FirstPartyCookie, Value: value, Path: "/", MaxAge: int(firstPartyAge.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	return c.String()
}

// link tells that two ids of one browser are one person, until that is known.
func (p *Proxy) link(x *Exchange, at time.Time) {
	if x.who.anonymous == "" || x.Status >= http.StatusBadRequest {
		return
	}
	if u, _ := p.Lookup(segments.Unit{Who: segments.Visitor, ID: x.who.anonymous}); u.ID != x.who.anonymous {
		return // merged already, perhaps into somebody who used this browser before
	}
	if u, _ := p.Lookup(segments.Unit{Who: segments.Visitor, ID: x.who.visitor}); u.ID == x.who.anonymous {
		return // merged the other way round
	}
	at = at.UTC().Truncate(time.Millisecond)
	p.Observe(&events.Event{
		Source: "edge", Kind: events.Alias, Visitor: x.who.visitor, Anonymous: x.who.anonymous, Time: at, Received: at,
	})
}

// learnTraits takes the traits that the origin's response tells of the visitor
// out of its headers.
func (p *Proxy) learnTraits(x *Exchange, h http.Header) {
	for _, s := range x.set.Edge.Identity.Traits {
		v := h.Get(s.Name)
		h.Del(s.Name)
		if v == "" {
			continue
		}
		if p.recognise(x); x.who.visitor == "" || !p.traits.news(x.who.visitor, v) {
			continue
		}
		if traits := parseTraits(v); len(traits) > 0 {
			at := p.Now().UTC().Truncate(time.Millisecond)
			p.Observe(&events.Event{
				Source: "edge", Kind: events.Identify, Visitor: x.who.visitor, Account: x.who.account,
				Time: at, Received: at, Traits: traits,
			})
		}
	}
}

// parseTraits reads a JSON object of scalars, or pairs as in "role=admin,
// plan=trial".
func parseTraits(s string) events.Properties {
	traits := events.Properties{}
	if strings.HasPrefix(s, "{") {
		if json.Unmarshal([]byte(s), &traits) != nil {
			return nil
		}
		for k, v := range traits {
			switch v.(type) {
			case map[string]any, []any:
				delete(traits, k)
			}
		}
		return traits
	}
	for pair := range strings.SplitSeq(s, ",") {
		if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && utf8.ValidString(pair) {
			traits[strings.TrimSpace(k)] = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return traits
}

// lastTraits remembers, for the visitors seen last, the traits last told, so
// that telling them on every response makes no event of each. It may forget.
type lastTraits struct {
	seed  atomic.Pointer[maphash.Seed]
	slots [4096]atomic.Uint64
}

// news reports whether it isn't known that the visitor has these traits.
func (l *lastTraits) news(visitor, traits string) bool {
	seed := l.seed.Load()
	if seed == nil {
		s := maphash.MakeSeed()
		l.seed.CompareAndSwap(nil, &s)
		seed = l.seed.Load()
	}
	slot := &l.slots[maphash.String(*seed, visitor)%uint64(len(l.slots))]
	now := maphash.String(*seed, visitor+"\x00"+traits)
	return slot.Swap(now) != now
}
