package rules

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rewrite"
)

func TestEdgeDefaults(t *testing.T) {
	s := load(t, site(t, "-- refract.yaml --\norigin: https://App.example.com:3000/\n"))
	want := Edge{
		Listen: ":8080", Admin: "127.0.0.1:9180", Data: "./data", Attribute: "data-surface",
		Origins: []Origin{{
			To: []string{"https://App.example.com:3000"}, Balance: "round-robin", Failures: 3, Cooldown: 10 * time.Second,
			Connect: 5 * time.Second, Response: time.Minute,
		}},
		Identity: Identity{Visitor: []IdentitySource{{Kind: "first-party"}}},
		Late:     24 * time.Hour,
		Retain:   Retention{90 * 24 * time.Hour, 20 << 30},
		Limits: Limits{
			HeaderBytes: 64 << 10, Headers: 200, ReadHeader: 10 * time.Second, Idle: 2 * time.Minute,
			Progress: 30 * time.Second, Tunnel: time.Hour, Connections: 20000, PerIP: 1000,
		},
		AccessLog: AccessLog{Format: "json", Sample: 1},
		Serving:   Serving{Sample: 0.01},
		Tracing:   Tracing{Sample: 0.01},
		Shutdown:  Shutdown{Deadline: 30 * time.Second},
		PageCache: 64 << 20, Cohorts: Cohorts{MaxAge: 24 * time.Hour},
	}
	if !reflect.DeepEqual(s.Edge, want) {
		t.Errorf("got  %+v\nwant %+v", s.Edge, want)
	}
}

func TestEdge(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	dir, _ := unpack(t, "testdata/good/reference.txtar")
	e := load(t, dir).Edge
	identity := Identity{
		Visitor: []IdentitySource{{Kind: "cookie", Name: "ajs_user_id"}, {Kind: "cookie", Name: "ajs_anonymous_id"}, {Kind: "first-party"}},
		Account: []IdentitySource{{Kind: "header", Name: "X-Account-Id"}},
		Traits:  []IdentitySource{{Kind: "header", Name: "X-Refract-Traits"}},
	}
	if !reflect.DeepEqual(e.Identity, identity) {
		t.Errorf("identity: %+v", e.Identity)
	}
	if e.Late != 12*time.Hour || e.Retain != (Retention{30 * 24 * time.Hour, 5 << 30}) || e.Sources["segment"].Key != "a-key" || e.Off {
		t.Errorf("%+v", e)
	}
	at := time.UnixMilli(0)
	for _, test := range []struct {
		x    events.Exchange
		want string
	}{
		{events.Exchange{Method: "POST", Path: "/projects", Status: 303, At: at}, "Project Created"},
		{events.Exchange{Method: "POST", Path: "/projects", Status: 404, At: at}, ""},
		{events.Exchange{Method: "POST", Path: "/projects/7/invitations", Status: 201, At: at}, "Teammate Invited"},
		{events.Exchange{Method: "PUT", Path: "/setup/dns", Status: 500, At: at}, "Setup Error"},
		{events.Exchange{Method: "GET", Path: "/a/b", Status: 404, At: at}, "Gone"},
	} {
		got := ""
		for _, o := range e.Events {
			if ev, ok := o.Match(&test.x); ok {
				got = ev.Name
				if got == "Setup Error" && ev.Properties["step"] != "dns" {
					t.Errorf("step: %v", ev.Properties)
				}
			}
		}
		if got != test.want {
			t.Errorf("%+v is %q, want %q", test.x, got, test.want)
		}
	}
}

// Everything that can be said of how the edge is wired.
func TestEdgeInFull(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	t.Setenv("REFRACT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
	dir, _ := unpack(t, "testdata/good/edge.txtar")
	e := load(t, dir).Edge
	cert, key := filepath.Join(dir, "tls/cert.pem"), filepath.Join(dir, "tls/key.pem")
	pattern := func(s string) events.Pattern {
		p, err := events.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	want := Edge{
		Listen: ":80", Admin: "unix:/run/refract/admin.sock", Data: "./data", Holdout: 0.05, Attribute: "data-surface",
		Identity: Identity{Visitor: []IdentitySource{{Kind: "first-party"}}}, Late: DefaultLate, Retain: Retention{DefaultAge, DefaultBytes},
		ProxyProtocol: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		TLS: &TLS{
			Listen: ":443", Hosts: []string{"shop.example.com", "*.example.com"}, Certificates: []Certificate{{cert, key}},
			ACME: ACME{
				CA: "https://ca.example.com/directory", Root: cert, Email: "ops@example.com", Challenges: []string{DNS01, HTTP01},
				DNS: &DNS{"cloudflare", map[string]string{"api_token": "a-token"}}, Storage: "/var/lib/refract/certs",
				EAB: &struct{ ID, Key string }{"a-key", "a-key"},
			},
			OnDemand: &OnDemand{[]string{"*.shops.example.com"}, "http://127.0.0.1:5555/ask"},
			Redirect: true, HSTS: 365 * 24 * time.Hour,
		},
		Origins: []Origin{{
			Hosts: []string{"api.example.com"}, Paths: []events.Pattern{pattern("/v1/**"), pattern("/health")},
			To: []string{"http://10.0.0.1:3000", "http://10.0.0.2:3000"}, Balance: "least-connections",
			Health: &Health{
				Path: "/healthz?deep=1", Host: "api.example.com", Status: events.StatusRange{Min: 204, Max: 204},
				Every: 10 * time.Second, Timeout: 3 * time.Second, Fall: 3, Rise: 1,
			},
			Failures: 5, Cooldown: 30 * time.Second, Connect: 2 * time.Second, Response: 90 * time.Second, Idle: 5 * time.Minute,
		}, {
			Hosts: []string{"*.example.com"}, To: []string{"https://10.0.0.3:8443"}, Balance: "round-robin",
			Failures: 3, Cooldown: 10 * time.Second, Connect: 5 * time.Second, Response: time.Minute,
			TLS: OriginTLS{Name: "app.internal", CA: cert, Cert: cert, Key: key},
		}, {
			To: []string{"unix:/run/app.sock"}, Balance: "round-robin",
			Failures: 3, Cooldown: 10 * time.Second, Connect: 5 * time.Second, Response: time.Minute,
		}},
		Limits: Limits{HeaderBytes: 32 << 10, Headers: 100, ReadHeader: 5 * time.Second, Idle: time.Minute, Progress: 20 * time.Second, PerIP: 50},
		Stops: []Monitor{
			{Name: "alertmanager", Secret: "0123456789abcdef0123456789abcdef"},
			{Name: "pagerduty", Secret: "0123456789abcdef0123456789abcdef", Rules: []string{"checkout"}},
		},
		Watch: true, ServerTiming: true, PageCache: 128 << 20, Cohorts: Cohorts{MaxAge: 24 * time.Hour},
		AccessLog: AccessLog{Format: "json", Query: true, Omit: []string{"bytes"}, Headers: []string{"User-Agent", "Referer"}, Sample: 0.1},
		Serving:   Serving{Off: []string{"slow"}, Sample: 0.05},
		Tracing:   Tracing{"http://127.0.0.1:4318", 0.5},
		Shutdown:  Shutdown{5 * time.Second, time.Minute},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
}

// Addresses that only this machine reaches need no token.
func TestAdminAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:1", "localhost:1", `"[::1]:1"`, "127.8.8.8:1", "unix:/run/refract.sock", `"[::ffff:127.0.0.1]:1"`} {
		load(t, site(t, "-- refract.yaml --\norigin: http://a\nadmin: "+address+"\n"))
	}
	for _, address := range []string{":1", "0.0.0.0:1", `"[::]:1"`, "10.0.0.1:1", "localhost.example.com:1"} {
		dir := site(t, "-- refract.yaml --\norigin: http://a\nadmin: "+address+"\n")
		if got := problems(t, dir)[0]; got.Line != 2 {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// A rule as the product's description writes it.
func TestRule(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	dir, _ := unpack(t, "testdata/good/reference.txtar")
	s := load(t, dir)
	r := s.Rule("invite-teammate")
	if r.Segment != &s.Segments[8] || r.Segment.Name != "trial-admins-without-teammate" || r.Surface != s.Surfaces[0] || r.Owner != "growth@example.com" {
		t.Errorf("segment %v, surface %v, owner %s", r.Segment, r.Surface, r.Owner)
	}
	if g := r.Guardrail; g.Tolerate != 0.1 || g.Alpha != 0.05 || g.Baseline != 0 || g.Within != 7*24*time.Hour {
		t.Errorf("guardrail %+v", g)
	}
	if !r.Expires.Equal(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)) || !reflect.DeepEqual(r.Rollout, Rollout{1, 0.5, []Step{{0.05, 0.5, 7 * 24 * time.Hour}, {0.2, 0.3, 48 * time.Hour}, {1, 0.5, 0}}, Undecided{28 * 24 * time.Hour, true}}) || r.State != Live || r.Unit != "visitor" || r.Priority != 0 {
		t.Errorf("%+v", r)
	}
	if r.Response.Operation != rewrite.Inner || string(r.Response.HTML) != "<h2>Invite a teammate</h2>\n<p>Two see more than one.</p>\n" {
		t.Errorf("response %+v", r.Response)
	}
	stuck := s.Rule("stuck")
	if got := string(stuck.Response.HTML); got != "Stuck? <Ask> us & we answer within one working day, promised" || stuck.Response.File != "" {
		t.Errorf("text: %s", got)
	}
	if g := stuck.Guardrail; g.Tolerate != 0 || g.Baseline != 0.005 || g.Alpha != 0.01 || !reflect.DeepEqual(stuck.Rollout, Rollout{Share: 0.2, Treatment: 0.9}) || stuck.Priority != -3 || stuck.State != Draft {
		t.Errorf("stuck: %+v", stuck)
	}
	if stuck.Surface.MaxBytes != DefaultMaxBytes || s.Rule("stopped").State != RolledBack {
		t.Errorf("stuck %+v, stopped %+v", stuck.Surface, s.Rule("stopped"))
	}
}
