package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signer makes the tokens of an identity provider.
type signer struct {
	t   *testing.T
	id  string
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t, id, key}
}

// keys is its key set.
func (s *signer) keys() []byte {
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: s.id, Use: "sig", Algorithm: "ES256"}}})
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// cookie is the Cookie of somebody who is signed in.
func (s *signer) cookie(subject string) string {
	s.t.Helper()
	made, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, (&jose.SignerOptions{}).WithHeader("kid", s.id))
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := jwt.Signed(made).Claims(jwt.Claims{
		Subject: subject, Issuer: "https://id.example.com/", Audience: jwt.Audience{"app"}, Expiry: jwt.NewNumericDate(time.Now().Add(100 * time.Hour)),
	}).Serialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return "session=" + token
}

// identified makes visitors of a site be known by tokens that keys verify.
func identified(t *testing.T, dir, keys string) {
	t.Helper()
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return strings.Replace(s, "visitor: [cookie:user, first-party]",
			"visitor: [{jwt: {cookie: session, jwks: "+keys+", issuer: https://id.example.com/, audience: app}}, first-party]", 1)
	})
}

// refusedTokens is a line of the metrics.
func refusedTokens(reason string, n int) string {
	return fmt.Sprintf(`refract_identity_refused_total{reason=%q,source="jwt:session"} %d`, reason, n)
}

// TestTokens: visitors of the binary are who their token says, by keys that it
// fetches, and nobody can be taken for another.
func TestTokens(t *testing.T) {
	provider, stranger := newSigner(t, "one"), newSigner(t, "one")
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(provider.keys())
	}))
	defer keys.Close()
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	treatment, _ := arms(t, dir, 2)
	identified(t, dir, keys.URL)
	r := start(t, dir) // serves when it has the keys
	ann, bob := treatment[0], treatment[1]
	as := func(cookie string) string {
		t.Helper()
		_, body := r.do(http.MethodGet, "/projects/7", "", nil, "Cookie", cookie)
		return body
	}
	for _, v := range []string{ann, bob} {
		r.send("identify", map[string]any{"userId": v, "traits": map[string]any{"role": "admin", "plan": "trial"}})
		r.do(http.MethodPost, "/projects", "", nil, "Cookie", provider.cookie(v)) // observed, for whom the token names
	}
	r.settle()
	r.at(48*time.Hour + time.Minute)

	treated := treatedPage(t)
	for range 2 {
		for _, v := range []string{ann, bob} {
			if body := as("theme=dark; " + provider.cookie(v)); body != treated {
				t.Fatalf("with a token, %s sees %q", v, body)
			}
		}
	}
	valid := provider.cookie(ann)
	for what, cookie := range map[string]string{
		"an id alone":              "session=" + ann,
		"the id in another cookie": "user=" + ann,
		"a token of other keys":    stranger.cookie(ann),
		"a changed token":          valid[:len(valid)-20] + strings.Repeat("A", 20),
		"no token":                 "session=",
	} {
		if body := as(cookie); body != projectPage {
			t.Errorf("with %s: %q", what, body)
		}
	}
	r.says(refusedTokens("signature", 2))
	r.says(refusedTokens("malformed", 1))
	r.says(refusedTokens("expired", 0))

	// The same by a file, which a reload reads anew.
	file := filepath.Join(dir, "site", "keys.json")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(stranger.keys())
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return strings.Replace(s, keys.URL, "keys.json", 1) })
	r.mustCommand("reload")
	if as(valid) != projectPage || as(stranger.cookie(ann)) != treated {
		t.Error("a reload doesn't take other keys")
	}
	write(provider.keys())
	r.mustCommand("reload")
	if as(valid) != treated || as(stranger.cookie(ann)) != projectPage {
		t.Error("a reload doesn't read the file anew")
	}
	write([]byte(`{"keys": []}`))
	if _, stderr, code := r.command("reload"); code == exitOK || !strings.Contains(stderr, "keys.json: it has no public key") {
		t.Errorf("a reload without keys: exit status %d: %s", code, stderr)
	}
	if _, stderr, code := r.command("check", filepath.Join(dir, "site")); code == exitOK || !strings.Contains(stderr, "keys.json: it has no public key") {
		t.Errorf("a check without keys: exit status %d: %s", code, stderr)
	}
	if as(valid) != treated {
		t.Error("a reload that is refused takes the keys away")
	}

	r.at(102 * time.Hour) // the token has expired, though it was verified before
	if body := as(valid); body != projectPage {
		t.Errorf("with an expired token: %q", body)
	}
	r.says(refusedTokens("expired", 1))
	r.stop()
	access, err := os.ReadFile(filepath.Join(dir, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(strings.TrimPrefix(valid, "session="), ".") {
		if strings.Contains(string(access)+r.stderr(), part[:20]) {
			t.Error("a token is in the logs")
		}
	}
}
