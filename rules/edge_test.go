package rules

import (
	"reflect"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rewrite"
)

func TestEdgeDefaults(t *testing.T) {
	s := load(t, site(t, "-- refract.yaml --\norigin: https://App.example.com:3000/\n"))
	want := Edge{
		Listen: ":8080", Origin: "https://App.example.com:3000", Admin: "127.0.0.1:9180", Data: "./data", Attribute: "data-surface",
		Identity: Identity{Visitor: []IdentitySource{{Kind: "first-party"}}},
		Late:     24 * time.Hour,
		Retain:   Retention{90 * 24 * time.Hour, 20 << 30},
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
		Visitor: []IdentitySource{{"cookie", "ajs_user_id"}, {"cookie", "ajs_anonymous_id"}, {"first-party", ""}},
		Account: []IdentitySource{{"header", "X-Account-Id"}},
		Traits:  []IdentitySource{{"header", "X-Refract-Traits"}},
	}
	if !reflect.DeepEqual(e.Identity, identity) {
		t.Errorf("identity: %+v", e.Identity)
	}
	if e.Late != 12*time.Hour || e.Retain != (Retention{30 * 24 * time.Hour, 5 << 30}) || e.Sources.Segment.WriteKey != "a-key" || e.Off {
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
	if r.Segment != &s.Segments[7] || r.Segment.Name != "trial-admins-without-teammate" || r.Surface != s.Surfaces[0] || r.Owner != "growth@example.com" {
		t.Errorf("segment %v, surface %v, owner %s", r.Segment, r.Surface, r.Owner)
	}
	if g := r.Guardrail; g.Tolerate != 0.1 || g.Alpha != 0.05 || g.Baseline != 0 || g.Within != 7*24*time.Hour {
		t.Errorf("guardrail %+v", g)
	}
	if !r.Expires.Equal(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)) || r.Rollout != (Rollout{1, 0.5}) || r.State != Live || r.Unit != "visitor" || r.Priority != 0 {
		t.Errorf("%+v", r)
	}
	if r.Response.Operation != rewrite.Inner || string(r.Response.HTML) != "<h2>Invite a teammate</h2>\n<p>Two see more than one.</p>\n" {
		t.Errorf("response %+v", r.Response)
	}
	stuck := s.Rule("stuck")
	if got := string(stuck.Response.HTML); got != "Stuck? <Ask> us & we answer within one working day, promised" || stuck.Response.File != "" {
		t.Errorf("text: %s", got)
	}
	if g := stuck.Guardrail; g.Tolerate != 0 || g.Baseline != 0.005 || g.Alpha != 0.01 || stuck.Rollout != (Rollout{0.2, 0.9}) || stuck.Priority != -3 || stuck.State != Draft {
		t.Errorf("stuck: %+v", stuck)
	}
	if stuck.Surface.MaxBytes != DefaultMaxBytes || s.Rule("stopped").State != RolledBack {
		t.Errorf("stuck %+v, stopped %+v", stuck.Surface, s.Rule("stopped"))
	}
}
