package rules

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestProofs(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	t.Setenv("REFRACT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
	dir, _ := unpack(t, "testdata/good/identity.txtar")
	const day = 24 * time.Hour
	cookie := func(name string, p Proof) IdentitySource {
		return IdentitySource{Kind: "cookie", Name: name, Proof: &p}
	}
	jwt := Proof{
		Format: JWT, Claim: "sub", Keys: "https://id.example.com/.well-known/jwks.json",
		Issuer: "https://id.example.com/", Audience: "app", Leeway: time.Minute,
	}
	organisation := jwt
	organisation.Claim = "org_id"
	want := Identity{
		Visitor: []IdentitySource{
			cookie("session", jwt),
			{"header", "Authorization", &Proof{Format: JWT, Claim: "https://example.com/user.id", Keys: filepath.Join(dir, "keys.json")}},
			cookie("token", Proof{Format: JWT, Claim: "sub", Secret: "0123456789abcdef0123456789abcdef", Leeway: time.Minute}),
			cookie("user", Proof{Format: Express, Secret: "a-key"}),
			cookie("user", Proof{Format: Django, Secret: "a-key", MaxAge: 14 * day}),
			cookie("session", Proof{Format: Flask, Secret: "a-key", Claim: "_user_id"}),
			cookie("user", Proof{Format: HMAC, Secret: "a-key"}),
			{Kind: "first-party"},
		},
		Account: []IdentitySource{
			cookie("session", organisation),
			cookie("session", Proof{Format: Flask, Secret: "a-key", Claim: "team"}),
			{Kind: "header", Name: "X-Account-Id"},
		},
	}
	if got := load(t, dir).Edge.Identity; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
