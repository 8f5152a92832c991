package rules

import (
	"net/url"
	"strings"
)

// Notices begins the kind and the name of a destination that is told what was
// done to rules.
const Notices = "notices:"

// readNotices reads the list of who is told what was done to rules.
func (e *Edge) readNotices(v value) {
	list, ok := v.list("receivers such as slack: {url: env:NAME}")
	if !ok {
		return
	}
	for _, entry := range list {
		f, ok := entry.fields("a mapping with slack or webhook", "slack", "webhook")
		if !ok || len(f.pairs) == 0 && len(f.meant) > 0 {
			continue
		}
		if len(f.pairs) != 1 {
			entry.refuse("begin each receiver with \"- \"", "an entry of notices is one receiver, found %d", len(f.pairs))
			continue
		}
		d := readReceiver(f.pairs[0].value)
		for _, other := range e.Notices {
			if d.Name == other.Name {
				f.pairs[0].key.refuse("give one of them another name: …", "two receivers are called %q", strings.TrimPrefix(d.Name, Notices))
			}
		}
		e.Notices = append(e.Notices, d)
	}
}

// readReceiver reads a receiver, whose kind is the value's name.
func readReceiver(v value) Destination {
	d := Destination{Name: Notices + v.name, Kind: Notices + v.name, MaxBytes: DefaultQueueBytes}
	known := []string{"url", "name"}
	if v.name == "webhook" {
		known = append(known, "secret")
	}
	f, ok := v.fields("a mapping with "+strings.Join(known, ", "), known...)
	if !ok {
		return d
	}
	name := f.get("name")
	if s, ok := name.word(100); ok {
		if !nameSyntax().MatchString(s) {
			name.refuse(nameHint, "%q can't be a name", s)
		}
		d.Name = Notices + s
	}
	if v.name == "webhook" {
		set(&d.URL)(postAddress(f.need("url", "where notices are posted to: url: https://service.example.com/notices")))
		set(&d.Key)(secret(f.get("secret")))
		return d
	}
	// Who has the address may write to the channel.
	at := f.need("url", "the address of an incoming webhook: url: env:SLACK_WEBHOOK_URL")
	if s, ok := secret(at); ok {
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLocal(u.Hostname())) {
			at.refuse("it begins with https://", "url is not the address of a webhook")
		}
		d.URL = s
	}
	return d
}
