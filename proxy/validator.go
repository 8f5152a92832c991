package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// A page that goes through the rewriter has an entity tag of its own, made of
// the origin's and of what was decided: W/"abc" becomes W/"abc-rfw0123456789ab".
// The letter after -rf is w if the origin's tag is weak and s if it is strong,
// so that the origin gets back exactly what it sent; the rest is the mark of the
// decision. Both arms have such tags, and control's differ from the origin's
// too, or the arms could be told apart.
//
// Where the origin has none, the tag is W/"-rfn0123456789ab". No page is ever
// current by it: it is there because who has a page without a tag may ask by
// If-Modified-Since with a date that they made up, and the origin, which knows
// of no change, would confirm the page also after a rollback.
//
// The tag is weak: the page is the same for whoever has the same decision and
// accepts the same codings, but not to the byte in every coding. It is no
// secret, and says no more than the page does.
const (
	tagMark   = "-rf"
	markBytes = 12 // hex digits
)

// markOf is the part of a tag that stands for a decision: who gets the same
// under the same revision has the same. A rule that stops, one that starts, and
// every change of the site directory make it another.
func markOf(revision, programKey string) string {
	sum := sha256.Sum256([]byte("1\n" + revision + "\n" + programKey)) // 1: what the rewriter makes of a page
	return hex.EncodeToString(sum[:])[:markBytes]
}

// markTag returns the tag of a page that the origin tagged so, or "" if what
// the origin sent is no tag.
func markTag(origin, mark string) string {
	weak, opaque, rest, ok := cutTag(origin)
	if !ok || rest != "" {
		return ""
	}
	strength := "s"
	if weak {
		strength = "w"
	}
	return `W/"` + opaque + tagMark + strength + mark + `"`
}

// tagOf returns the tag of a page of which the origin sent these lines, and
// whether the page may be current by it.
func tagOf(lines []string, mark string) (tag string, current bool) {
	if len(lines) == 1 {
		if tag = markTag(lines[0], mark); tag != "" {
			return tag, true
		}
	}
	return `W/"` + tagMark + "n" + mark + `"`, false
}

// unmarkTag splits a tag that tagOf made into the origin's own, "" if it had
// none, and the mark of the decision. Of any other tag it returns ok false.
func unmarkTag(tag string) (origin, mark string, ok bool) {
	_, opaque, rest, ok := cutTag(tag)
	at := len(opaque) - len(tagMark) - 1 - markBytes
	if !ok || rest != "" || at < 0 || opaque[at:at+len(tagMark)] != tagMark {
		return "", "", false
	}
	mark = opaque[at+len(tagMark)+1:]
	if strings.Trim(mark, "0123456789abcdef") != "" {
		return "", "", false
	}
	switch opaque[at+len(tagMark)] {
	case 's':
		return `"` + opaque[:at] + `"`, mark, true
	case 'w':
		return `W/"` + opaque[:at] + `"`, mark, true
	case 'n':
		return "", mark, at == 0
	}
	return "", "", false
}

// cutTag reads the entity tag that a list begins with: RFC 9110, section 8.8.3.
func cutTag(list string) (weak bool, opaque, rest string, ok bool) {
	list, weak = strings.CutPrefix(list, "W/")
	if list, ok = strings.CutPrefix(list, `"`); !ok {
		return false, "", "", false
	}
	opaque, rest, ok = strings.Cut(list, `"`)
	return weak, opaque, rest, ok
}

// tagsOf lists the entity tags of a condition's lines. Where they are more than
// tags, such as *, or are broken, ok is false.
func tagsOf(lines []string) (tags []string, ok bool) {
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, ", \t")
			if line == "" {
				break
			}
			_, _, rest, ok := cutTag(line)
			if !ok {
				return tags, false
			}
			tags = append(tags, line[:len(line)-len(rest)])
			line = rest
		}
	}
	return tags, true
}

// conditions makes the origin's conditions of the visitor's (RFC 9110, section
// 13), so that no page is taken for current that isn't what would be sent now.
//
//   - If-None-Match where something is decided: the origin's part of one tag
//     whose mark is that of the decision, if it is known what is on that page.
//     Everything else is a page from before, or somebody else's.
//   - If-None-Match where nothing is: every tag but ours, which are of pages
//     that were changed. So with If-Range.
//   - If-Modified-Since is no condition on pages that a rule could touch: what
//     was changed has no date, and caches make one up.
//   - If-Match, and If-None-Match of what is no GET or HEAD, guard a change of
//     what the visitor saw: they get the origin's tags, whatever the mark.
func (p *Proxy) conditions(x *Exchange, out http.Header) {
	unmarkAll(out, "If-Match")
	if m := x.Request.Method; m != http.MethodGet && m != http.MethodHead {
		unmarkAll(out, "If-None-Match")
		return
	}
	none := out["If-None-Match"]
	switch {
	case len(x.Decision) > 0:
		x.conditional = none != nil || out["If-Modified-Since"] != nil
		delete(out, "If-None-Match")
		delete(out, "If-Modified-Since")
		if own := p.revalidates(x, none); own != "" {
			out["If-None-Match"] = []string{own}
		}
		return
	case x.touched:
		delete(out, "If-Modified-Since")
	}
	if ours(none) {
		var others []string
		tags, ok := tagsOf(none)
		for _, tag := range tags {
			if _, _, marked := unmarkTag(tag); !marked {
				others = append(others, tag)
			}
		}
		delete(out, "If-None-Match")
		delete(out, "If-Modified-Since") // it did not count beside the tags
		if ok && others != nil {
			out["If-None-Match"] = []string{strings.Join(others, ", ")}
		}
	}
	if ours(out["If-Range"]) {
		delete(out, "If-Range")
		delete(out, "Range")
	}
}

// ours says whether one of the tags could be ours.
func ours(lines []string) bool {
	for _, line := range lines {
		if strings.Contains(line, tagMark) {
			return true
		}
	}
	return false
}

// unmarkAll gives the origin its own tags in a condition.
func unmarkAll(h http.Header, name string) {
	if !ours(h[name]) {
		return
	}
	tags, ok := tagsOf(h[name])
	if !ok {
		return // it goes through as it is: without it, the change would be unconditional
	}
	for i, tag := range tags {
		if origin, _, marked := unmarkTag(tag); marked && origin != "" {
			tags[i] = origin
		}
	}
	h[name] = []string{strings.Join(tags, ", ")}
}

// revalidates returns the tag to ask the origin with, or "". It is about one
// page alone, so that an answer without a tag is about it too.
func (p *Proxy) revalidates(x *Exchange, lines []string) string {
	if !ours(lines) {
		return ""
	}
	program, err := p.program(x)
	if err != nil {
		return "" // change will say so
	}
	tags, _ := tagsOf(lines)
	for _, tag := range tags {
		origin, mark, ok := unmarkTag(tag)
		if !ok || origin == "" || mark != program.mark {
			continue
		}
		tag = markTag(origin, mark) // as it was sent, should something have taken W/ off
		if found, ok := p.finds.of(x.Request, tag); ok {
			x.held, x.heldFinds = tag, found
			return origin
		}
	}
	return ""
}

// finds remembers what was found on the pages that were sent with tags of ours,
// so that a page that a browser shows again is an exposure again, and is never
// one that nobody can tell of. It may forget: then the page is sent again. Its
// zero value is ready, and safe for concurrent use.
type finds struct {
	mu         sync.Mutex // guards what follows
	young, old map[findKey][]rewrite.Sighting
}

type findKey [sha256.Size]byte

// maxFinds is how many pages are remembered at least; it is at most twice as
// many.
const maxFinds = 8192

func keyOf(r *http.Request, tag string) findKey {
	return sha256.Sum256([]byte(r.Host + "\n" + r.RequestURI + "\n" + tag))
}

func (f *finds) of(r *http.Request, tag string) ([]rewrite.Sighting, bool) {
	key := keyOf(r, tag)
	f.mu.Lock()
	defer f.mu.Unlock()
	found, ok := f.young[key]
	if !ok {
		if found, ok = f.old[key]; ok {
			f.put(key, found)
		}
	}
	return found, ok
}

func (f *finds) keep(r *http.Request, tag string, found []rewrite.Sighting) {
	key := keyOf(r, tag)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(key, found)
}

// put adds an entry. Its caller holds mu.
func (f *finds) put(key findKey, found []rewrite.Sighting) {
	if len(f.young) >= maxFinds {
		f.young, f.old = nil, f.young
	}
	if f.young == nil {
		f.young = map[findKey][]rewrite.Sighting{}
	}
	f.young[key] = found
}

// addVisitorVary says that a page depends on what tells visitors apart.
func addVisitorVary(h http.Header, identity rules.Identity) {
	for _, sources := range [...][]rules.IdentitySource{identity.Visitor, identity.Account} {
		for _, s := range sources {
			if s.Kind == "header" {
				addVary(h, s.Name)
			} else {
				addVary(h, "Cookie")
			}
		}
	}
}
