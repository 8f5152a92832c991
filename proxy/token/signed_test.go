package token

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/seed14307185/refract/rules"
)

// vectors are what the frameworks themselves made: see the scripts beside.
type vectors struct {
	Secret                       string
	JWKS                         json.RawMessage
	Tokens                       map[jose.SignatureAlgorithm]string
	Express, HMAC, Django, Flask []struct{ ID, Cookie string }
}

func readVectors(t testing.TB, name string) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// made is when the vectors of Python were signed.
var made = time.Date(2026, 11, 28, 10, 30, 4, 0, time.UTC)

func signedBy(format, secret string) rules.IdentitySource {
	p := rules.Proof{Format: format, Secret: secret}
	if format == rules.Flask {
		p.Claim = "_user_id"
	}
	return rules.IdentitySource{Kind: "cookie", Name: "user", Proof: &p}
}

// TestFrameworks: cookies that the frameworks made are believed, and none with a
// byte changed.
func TestFrameworks(t *testing.T) {
	npm, python := readVectors(t, "npm.json"), readVectors(t, "python.json")
	for format, list := range map[string][]struct{ ID, Cookie string }{
		rules.Express: npm.Express, rules.HMAC: npm.HMAC, rules.Django: python.Django, rules.Flask: python.Flask,
	} {
		if len(list) == 0 {
			t.Errorf("no cookies of %s", format)
		}
		s, other := signedBy(format, npm.Secret), signedBy(format, npm.Secret+"x")
		v := newVerifiers(t, s, other)
		for _, c := range list {
			id, reason := v.ID(&s, c.Cookie), why(v)
			if id != c.ID || (reason == Claim) != (c.ID == "") || reason != "" && reason != Claim {
				t.Errorf("%s: %q is of %q, want %q; refused for %q", format, c.Cookie, id, c.ID, reason)
			}
			if id, reason := v.ID(&other, c.Cookie), why(v); id != "" || reason != Signature {
				t.Errorf("%s: with another secret, %q is of %q, refused for %q", format, c.Cookie, id, reason)
			}
			for i := range len(c.Cookie) {
				for _, b := range []byte("A0.:%\"s") {
					changed := c.Cookie[:i] + string(b) + c.Cookie[i+1:]
					if id := v.ID(&s, changed); id != "" && id != c.ID {
						t.Fatalf("%s: %q is of %q", format, changed, id)
					}
				}
			}
			why(v)
		}
		for _, bad := range []string{"ann", ".", ":", "::", "..", "s:", "s:ann", "s:.", "ann.", "ann:", "s:ann.", "ann..", "ann::", "%", `"`, `""`, "%zz"} {
			if id, reason := v.ID(&s, bad), why(v); id != "" || reason != Malformed && reason != Signature {
				t.Errorf("%s: %q is of %q, refused for %q", format, bad, id, reason)
			}
		}
		if id, reason := v.ID(&s, strings.Repeat("a", maxValue+1)), why(v); id != "" || reason != TooLong {
			t.Errorf("%s: a long cookie is of %q, refused for %q", format, id, reason)
		}
	}
}

// A cookie of one name is not taken for one of another, where the framework has it
// so; and none is taken for one of another framework.
func TestFrameworksApart(t *testing.T) {
	npm, python := readVectors(t, "npm.json"), readVectors(t, "python.json")
	s := signedBy(rules.Django, npm.Secret)
	s.Name = "team"
	v := newVerifiers(t, s)
	if id := v.ID(&s, python.Django[0].Cookie); id != "" || why(v) != Signature {
		t.Errorf("the cookie user is taken for the cookie team of %q", id)
	}
	all := map[string]string{
		rules.Express: npm.Express[0].Cookie, rules.HMAC: npm.HMAC[0].Cookie, rules.Django: python.Django[0].Cookie, rules.Flask: python.Flask[0].Cookie,
	}
	for format := range all {
		for of, cookie := range all {
			s := signedBy(format, npm.Secret)
			if id := newVerifiers(t, s).ID(&s, cookie); (id != "") != (of == format) {
				t.Errorf("a cookie of %s is of %q to %s", of, id, format)
			}
		}
	}
}

func TestAge(t *testing.T) {
	python := readVectors(t, "python.json")
	for format, cookie := range map[string]string{rules.Django: python.Django[0].Cookie, rules.Flask: python.Flask[0].Cookie} {
		s := signedBy(format, python.Secret)
		s.Proof.MaxAge = 24 * time.Hour
		v := newVerifiers(t, s)
		for after, want := range map[time.Duration]string{0: "ann", 24*time.Hour - time.Minute: "ann", 24*time.Hour + time.Minute: "", 1000 * time.Hour: ""} {
			v.Now = func() time.Time { return made.Add(after) }
			if id, reason := v.ID(&s, cookie), why(v); id != want || (reason == Expired) != (want == "") {
				t.Errorf("%s: after %s the cookie is of %q, refused for %q", format, after, id, reason)
			}
		}
	}
}

// A session that unpacks to more than there is room for is refused, though the
// app signed it.
func TestHugeSession(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = w.Write([]byte(`{"_user_id":"ann","x":"` + strings.Repeat("x", 1<<20) + `"}`))
	_ = w.Close()
	rest := "." + base64.RawURLEncoding.EncodeToString(packed.Bytes()) + ".AA"
	cookie := rest + "." + base64.RawURLEncoding.EncodeToString(sum(sha1.New, sum(sha1.New, []byte(secret), "cookie-session"), rest))
	s := signedBy(rules.Flask, secret)
	v := newVerifiers(t, s)
	if id, reason := v.ID(&s, cookie), why(v); id != "" || reason != Malformed {
		t.Errorf("it is of %q, refused for %q", id, reason)
	}
}

// TestLibraries: tokens that npm's jose and jsonwebtoken made.
func TestLibraries(t *testing.T) {
	npm := readVectors(t, "npm.json")
	file := keyFile(t, npm.JWKS)
	for algorithm, token := range npm.Tokens {
		s := bySecret(npm.Secret)
		if !strings.HasPrefix(string(algorithm), "HS") {
			s = byKeys(file)
		}
		v := newVerifiers(t, s)
		if id := v.ID(&s, token); id != "ann" {
			t.Errorf("%s: the token is of %q, refused for %q", algorithm, id, why(v))
		}
		v.Now = func() time.Time { return noon.Add(2 * time.Hour) }
		if id := v.ID(&s, token); id != "" || why(v) != Expired {
			t.Errorf("%s: two hours later the token is of %q", algorithm, id)
		}
	}
	for claim, want := range map[string]string{"https://example.com/org": "org-1", "nested.org.id": "42"} {
		s := byKeys(file)
		s.Proof.Claim = claim
		if id := newVerifiers(t, s).ID(&s, npm.Tokens[jose.ES256]); id != want {
			t.Errorf("%s is %q, want %q", claim, id, want)
		}
	}
}

// FuzzSigned: whatever is written into a cookie, an id comes of it only if the
// signature is right, which is told here by signing anew; and it can be one.
func FuzzSigned(f *testing.F) {
	npm, python := readVectors(f, "npm.json"), readVectors(f, "python.json")
	for _, list := range [][]struct{ ID, Cookie string }{npm.Express, npm.HMAC, python.Django, python.Flask} {
		for _, c := range list {
			f.Add(c.Cookie)
			f.Add(c.Cookie[:len(c.Cookie)-1])
		}
	}
	known := map[string]map[string]bool{} // format → ids that were signed
	for format, list := range map[string][]struct{ ID, Cookie string }{
		rules.Express: npm.Express, rules.HMAC: npm.HMAC, rules.Django: python.Django, rules.Flask: python.Flask,
	} {
		known[format] = map[string]bool{"": true}
		for _, c := range list {
			known[format][c.ID] = true
		}
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		for format, ids := range known {
			s := signedBy(format, npm.Secret)
			id, _ := (&source{name: s.Name, proof: *s.Proof}).id(cookie, noon)
			if !ids[id] {
				t.Errorf("%s: %q is of %q", format, cookie, id)
			}
		}
	})
}

// FuzzJWT: whatever comes as a token, an id is of one that was signed.
func FuzzJWT(f *testing.F) {
	npm := readVectors(f, "npm.json")
	s, shared := byKeys(keyFile(f, npm.JWKS)), bySecret(npm.Secret)
	v := newVerifiers(f, s, shared)
	for _, token := range npm.Tokens {
		f.Add(token)
		f.Add(token[:len(token)-5])
	}
	f.Add(written(`{"alg":"none"}`, `{"sub":"bob"}`, nil))
	f.Fuzz(func(t *testing.T, token string) {
		for _, s := range []*rules.IdentitySource{&s, &shared} {
			if id := v.ID(s, token); id != "" && id != "ann" {
				t.Errorf("%q is of %q", token, id)
			}
		}
	})
}
