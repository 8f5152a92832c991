package rules

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

var tokenSyntax = syntax("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110, 5.6.2

// nameless are the sources whose cookies have one name.
var nameless = []string{"first-party", "segment", "rudderstack"}

// read reads the identity sources. Each list that is given replaces its
// default.
func (id *Identity) read(v value) {
	f, ok := v.fields("a mapping with visitor, account and traits", "visitor", "account", "traits")
	if !ok {
		return
	}
	read := func(key string, list []value, kinds ...string) []IdentitySource {
		var all []IdentitySource
		for _, entry := range list {
			if entry.isMapping() && key != "traits" {
				source, ok := readProof(entry, key)
				if ok && slices.ContainsFunc(all, source.same) {
					entry.refuse("", "it is there twice")
				} else if ok {
					all = append(all, source)
				}
				continue
			}
			s, ok := entry.word(200)
			if !ok {
				continue
			}
			kind, name, named := strings.Cut(s, ":")
			name = strings.TrimSpace(name)
			source := IdentitySource{Kind: kind, Name: name}
			switch {
			case !slices.Contains(kinds, kind):
				entry.refuse(didYouMean(kind, kinds, ""), "%s can be read from %s, found %q", key, either(kinds), s)
				continue
			case named && slices.Contains(nameless, kind):
				entry.refuse("write "+kind+" alone: its cookies have fixed names", "%s takes no name", kind)
				continue
			case (named || kind == "cookie" || kind == "header") && !tokenSyntax().MatchString(name):
				entry.refuse(fmt.Sprintf("write %s:NAME", kind), "%q names no %s", s, kind)
				continue
			case kind == "header":
				source.Name = textproto.CanonicalMIMEHeaderKey(name)
			}
			if slices.Contains(all, source) {
				entry.refuse("", "%q is there twice", s)
				continue
			}
			all = append(all, source)
		}
		return all
	}
	if list, ok := f.get("visitor").some("sources such as cookie:NAME"); ok {
		id.Visitor = read("visitor", list, append([]string{"cookie", "header", "first-party"}, IdentityVendors...)...)
	}
	list, _ := f.get("account").list("sources such as header:NAME")
	id.Account = read("account", list, "cookie", "header")
	list, _ = f.get("traits").list("sources such as header:NAME")
	id.Traits = read("traits", list, "header")
}
