package certs

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/seed14307185/refract/certs/acmetest"
)

const tsigKey, tsigSecret = "refract.", "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="

// zone is the name server of test., which takes updates by RFC 2136, signed by
// RFC 8945. The records are in pebble's DNS server, to which all other
// questions go.
type zone struct {
	a      *authority
	errors chan error
}

func startZone(t *testing.T, a *authority) (address string, z *zone) {
	t.Helper()
	z = &zone{a, make(chan error, 100)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	all := func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept } // updates too
	for _, s := range []*dns.Server{{Listener: l}, {PacketConn: packets}} {
		s.Handler, s.MsgAcceptFunc, s.TsigSecret = z, all, map[string]string{tsigKey: tsigSecret}
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return address, z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	answer, err := z.answer(w, q)
	if err != nil {
		z.errors <- err
		answer = new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	_ = w.WriteMsg(answer)
}

func (z *zone) answer(w dns.ResponseWriter, q *dns.Msg) (*dns.Msg, error) {
	answer := new(dns.Msg).SetReply(q)
	if q.Opcode != dns.OpcodeUpdate {
		if q.Question[0].Qtype != dns.TypeSOA {
			return dns.Exchange(q, z.a.DNS)
		}
		if q.Question[0].Name != "test." {
			return answer, nil
		}
		soa, err := dns.NewRR("test. 60 IN SOA ns.test. ops.test. 1 60 60 60 60")
		answer.Answer = []dns.RR{soa}
		return answer, err
	}
	if q.IsTsig() == nil || w.TsigStatus() != nil {
		return nil, fmt.Errorf("an update that is not signed: %w", w.TsigStatus())
	}
	for _, rr := range q.Ns {
		what, txt := "clear", map[string]string{"host": rr.Header().Name}
		if t, ok := rr.(*dns.TXT); !ok {
			return nil, errors.New("an update of something else: " + rr.String())
		} else if rr.Header().Class == dns.ClassINET {
			what, txt["value"] = "set", strings.Join(t.Txt, "")
		}
		if err := z.a.Record("/"+what+"-txt", txt); err != nil {
			return nil, err
		}
	}
	answer.SetTsig(tsigKey, dns.HmacSHA256, 300, int64(q.IsTsig().TimeSigned))
	return answer, nil
}

// A wildcard is proved by DNS, through a provider of libdns; the other hosts of
// the same site by HTTP.
func TestWildcard(t *testing.T) {
	t.Parallel()
	a := startAuthority(t, acmetest.Options{})
	server, z := startZone(t, a)
	solver, err := DNS("rfc2136", map[string]string{"server": server, "key_name": strings.TrimSuffix(tsigKey, "."), "key": tsigSecret, "resolvers": server, "propagation": "20s"})
	if err != nil {
		t.Fatal(err)
	}
	e := a.edge(Options{Hosts: []string{"*.wild.test", "wild.test"}, Challenges: []string{"dns-01", "http-01"}, DNS: solver})
	e.reload(t, func(*Options) {})
	for range 2 {
		if ev := e.next(t); ev.Err != nil {
			t.Fatalf("got the event %+v", ev)
		}
	}
	if cert := e.served(t, "shop.wild.test"); len(cert.DNSNames) != 1 || cert.DNSNames[0] != "*.wild.test" {
		t.Errorf("a name of the wildcard gets a certificate for %v", cert.DNSNames)
	}
	if cert := e.served(t, "wild.test"); cert.DNSNames[0] != "wild.test" {
		t.Errorf("the other host gets a certificate for %v", cert.DNSNames)
	}
	_, err = e.handshake("a.b.wild.test")
	wantAlert(t, err, "unrecognized name")
	if ends := e.NotAfter(); len(ends) != 2 {
		t.Errorf("NotAfter is %v", ends)
	}
	in, err := dns.Exchange(new(dns.Msg).SetQuestion("_acme-challenge.wild.test.", dns.TypeTXT), a.DNS)
	if err != nil || len(in.Answer) != 0 {
		t.Errorf("the record was left behind: %v, %v", in, err)
	}
	select {
	case err := <-z.errors:
		t.Error(err)
	default:
	}
}

func TestDNSOptions(t *testing.T) {
	full := map[string]map[string]string{
		"cloudflare": {"api_token": "t", "zone_token": "z"},
		"rfc2136":    {"server": "127.0.0.1:53", "key_name": "k", "key": "s", "key_alg": "hmac-sha512", "propagation": "5m", "resolvers": "1.1.1.1, 9.9.9.9:53"},
		"acmedns":    {"server_url": "https://acme-dns.example", "username": "u", "password": "p", "subdomain": "s"},
	}
	for name, options := range full {
		s, err := DNS(name, options)
		if err != nil || s.DNSProvider == nil {
			t.Errorf("%s with all its options: %v", name, err)
		}
		if name == "rfc2136" && (len(s.Resolvers) != 2 || s.PropagationTimeout.Minutes() != 5) {
			t.Errorf("resolvers %v, propagation %v", s.Resolvers, s.PropagationTimeout)
		}
	}
	for _, tt := range []struct {
		name    string
		options map[string]string
		want    string
	}{
		{"clodflare", nil, "hint: acmedns, cloudflare, rfc2136"},
		{"cloudflare", nil, "needs the option api_token\nhint: "},
		{"cloudflare", map[string]string{"api_token": "t", "apitoken": "t"}, "has no option \"apitoken\"\nhint: its options are api_token, zone_token"},
		{"cloudflare", map[string]string{"api_token": "t", "propagation": "soon"}, "propagation \"soon\""},
		{"cloudflare", map[string]string{"api_token": "t", "propagation": "-1s"}, "it is negative"},
	} {
		if _, err := DNS(tt.name, tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %v: got the error %v, want %q", tt.name, tt.options, err, tt.want)
		}
	}
}
