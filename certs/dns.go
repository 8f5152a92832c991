package certs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/acmedns"
	"github.com/libdns/cloudflare"
	"github.com/libdns/rfc2136"
)

// provider is a DNS provider of libdns. The list is short on purpose: a large
// provider whose module brings nothing else along, the standard that servers
// of one's own speak, and acme-dns, to which the _acme-challenge name of a zone
// anywhere can be delegated.
type provider struct {
	required, optional []string
	make               func(o map[string]string) certmagic.DNSProvider
}

func providers() map[string]provider {
	return map[string]provider{
		"cloudflare": {[]string{"api_token"}, []string{"zone_token"}, func(o map[string]string) certmagic.DNSProvider {
			return &cloudflare.Provider{APIToken: o["api_token"], ZoneToken: o["zone_token"]}
		}},
		"rfc2136": {[]string{"server", "key_name", "key"}, []string{"key_alg"}, func(o map[string]string) certmagic.DNSProvider {
			alg := o["key_alg"]
			if alg == "" {
				alg = "hmac-sha256"
			}
			return &rfc2136.Provider{Server: o["server"], KeyName: o["key_name"], KeyAlg: alg, Key: o["key"]}
		}},
		"acmedns": {[]string{"server_url", "username", "password", "subdomain"}, nil, func(o map[string]string) certmagic.DNSProvider {
			return &acmedns.Provider{ServerURL: o["server_url"], Username: o["username"], Password: o["password"], Subdomain: o["subdomain"]}
		}},
	}
}

// common are the options of every provider.
var common = []string{"resolvers", "propagation"}

// DNS returns the solver of dns-01 that a provider of libdns makes: cloudflare,
// rfc2136 or acmedns. Beside its own options each takes resolvers, addresses
// that are asked about the zone, separated by spaces or commas (the system's
// and then the zone's own servers), and propagation, how long the record may
// take to be seen (2m). An unknown provider or option, and a missing one, is an
// error with a hint.
func DNS(name string, options map[string]string) (*certmagic.DNS01Solver, error) {
	all := providers()
	p, ok := all[name]
	if !ok {
		return nil, fmt.Errorf("%q is no DNS provider that is known here\nhint: %s; for a zone elsewhere, run acme-dns and let the zone's _acme-challenge be a CNAME to it",
			name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	known := slices.Concat(p.required, p.optional, common)
	for key := range options {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("the DNS provider %s has no option %q\nhint: its options are %s", name, key, strings.Join(known, ", "))
		}
	}
	for _, key := range p.required {
		if options[key] == "" {
			return nil, fmt.Errorf("the DNS provider %s needs the option %s\nhint: it can be read from the environment: `%[2]s: env:NAME`", name, key)
		}
	}
	s := &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{DNSProvider: p.make(options)}}
	s.Resolvers = strings.FieldsFunc(options["resolvers"], func(r rune) bool { return r == ',' || r == ' ' })
	if text := options["propagation"]; text != "" {
		d, err := time.ParseDuration(text)
		if err == nil && d < 0 {
			err = errors.New("it is negative")
		}
		if err != nil {
			return nil, fmt.Errorf("the DNS provider %s: propagation %q: %w\nhint: such as 90s or 5m", name, text, err)
		}
		s.PropagationTimeout = d
	}
	return s, nil
}
