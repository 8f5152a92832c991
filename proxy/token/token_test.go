package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/seed14307185/refract/rules"
)

var (
	noon   = time.Unix(1790000000, 0)
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type claims map[string]any

// good are claims that are in order at noon, for the sources of newVerifiers.
func good() claims {
	return claims{"sub": "ann", "iss": "https://id.example.com/", "aud": "app", "iat": noon.Unix(), "nbf": noon.Unix(), "exp": noon.Unix() + 3600}
}

func (c claims) with(name string, value any) claims {
	c = maps.Clone(c)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func sign(t testing.TB, algorithm jose.SignatureAlgorithm, key any, id string, payload any) string {
	t.Helper()
	b, ok := payload.([]byte)
	if !ok {
		b = must(json.Marshal(payload))
	}
	options := &jose.SignerOptions{}
	if id != "" {
		options.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	return must(must(signer.Sign(b)).CompactSerialize())
}

// written is a token of these parts, none of which need make sense.
func written(header, payload string, signature []byte) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(header)) + "." + b([]byte(payload)) + "." + b(signature)
}

func jwks(list ...jose.JSONWebKey) []byte {
	return must(json.Marshal(jose.JSONWebKeySet{Keys: list}))
}

func public(key crypto.Signer, id string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: "sig"}
}

// keyFile is a site's file with a key set.
func keyFile(t testing.TB, raw []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newVerifiers(t testing.TB, sources ...rules.IdentitySource) *Verifiers {
	t.Helper()
	v := &Verifiers{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return noon }}
	use(t, v, sources...)
	t.Cleanup(v.Close)
	return v
}

func use(t testing.TB, v *Verifiers, sources ...rules.IdentitySource) {
	t.Helper()
	s, err := v.Prepare(&rules.Identity{Visitor: sources})
	if err != nil {
		t.Fatal(err)
	}
	v.Use(s)
}

func asking(p rules.Proof) rules.IdentitySource {
	return rules.IdentitySource{Kind: "cookie", Name: "session", Proof: &p}
}

func byKeys(keys string) rules.IdentitySource {
	return asking(rules.Proof{
		Format: rules.JWT, Claim: "sub", Keys: keys, Issuer: "https://id.example.com/", Audience: "app", Leeway: time.Minute,
	})
}

func bySecret(secret string) rules.IdentitySource {
	return asking(rules.Proof{Format: rules.JWT, Claim: "sub", Secret: secret, Leeway: time.Minute})
}

// why returns why a value was refused since it was called last.
func why(v *Verifiers) (last Reason) {
	for _, s := range v.live.Load().now {
		for i, why := range Reasons {
			if s.refused[i].Swap(0) > 0 {
				last = why
			}
		}
	}
	return last
}

// TestForgeries is everything by which somebody might be taken for another.
func TestForgeries(t *testing.T) {
	ec, other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	set := jwks(public(rsaKey(), "rsa"), public(ec, "ec"), public(ed, "ed"))
	s := byKeys(keyFile(t, set))
	v := newVerifiers(t, s)

	valid := sign(t, jose.ES256, ec, "ec", good())
	header, rest, _ := strings.Cut(valid, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	plain := string(must(json.Marshal(good())))
	spki := must(x509.MarshalPKIXPublicKey(rsaKey().Public()))
	hs := func(secret []byte) string {
		h := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"rsa"}`))
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(h + "." + payload))
		return h + "." + payload + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	embedded := func(key *ecdsa.PrivateKey) string {
		signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, &jose.SignerOptions{EmbedJWK: true}))
		return must(must(signer.Sign([]byte(plain))).CompactSerialize())
	}
	for _, c := range []struct {
		name, token string
		why         Reason // empty: it is ann's
	}{
		{"of EC", valid, ""},
		{"of RSA", sign(t, jose.RS256, rsaKey(), "rsa", good()), ""},
		{"of RSA-PSS", sign(t, jose.PS512, rsaKey(), "rsa", good()), ""},
		{"of Ed25519", sign(t, jose.EdDSA, ed, "ed", good()), ""},
		{"that names no key", sign(t, jose.ES256, ec, "", good()), ""},

		{"without a signature", written(`{"alg":"none"}`, plain, nil), Algorithm},
		{"of None", written(`{"alg":"None","kid":"ec"}`, plain, nil), Algorithm},
		{"of no algorithm", written(`{"kid":"ec"}`, plain, nil), Algorithm},
		{"whose signature was taken off", header + "." + payload + ".", Signature},
		{"with a signature of zeros", header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), Signature},
		{"by HMAC with the public key as PEM", hs(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), Algorithm},
		{"by HMAC with the public key as DER", hs(spki), Algorithm},
		{"by HMAC with the modulus", hs(rsaKey().N.Bytes()), Algorithm},
		{"by HMAC with nothing", hs(nil), Algorithm},
		{"of another's key under the id of one", sign(t, jose.ES256, other, "ec", good()), Signature},
		{"of another's key without an id", sign(t, jose.ES256, other, "", good()), Signature},
		{"of another's key that it brings along", embedded(other), Signature},
		{"of a key under the id of another kind", sign(t, jose.ES256, ec, "rsa", good()), Key},
		{"of an id that is a path", sign(t, jose.ES256, ec, "../../keys.json", good()), Key},
		{"of an unknown id", sign(t, jose.ES256, ec, "EC", good()), Key},
		{"whose payload was changed", header + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(plain, "ann", "bob", 1))) + "." + signature, Signature},
		{"whose header was changed", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + payload + "." + signature, Signature},
		{"with an extension that must be known", written(`{"alg":"ES256","kid":"ec","crit":["x"],"x":1}`, plain, make([]byte, 64)), Malformed},

		{"just before it expires", sign(t, jose.ES256, ec, "ec", good().with("exp", noon.Add(-time.Minute).Unix())), ""},
		{"that expired", sign(t, jose.ES256, ec, "ec", good().with("exp", noon.Add(-61*time.Second).Unix())), Expired},
		{"that expired before 1970", sign(t, jose.ES256, ec, "ec", good().with("exp", -1)), Expired},
		{"that never expires", sign(t, jose.ES256, ec, "ec", good().with("exp", nil)), ""},
		{"that expires in words", sign(t, jose.ES256, ec, "ec", good().with("exp", "never")), Malformed},
		{"that expires too late for a clock", sign(t, jose.ES256, ec, "ec", []byte(`{"sub":"ann","iss":"https://id.example.com/","aud":"app","exp":1e300}`)), Malformed},
		{"that is about to hold", sign(t, jose.ES256, ec, "ec", good().with("nbf", noon.Add(time.Minute).Unix())), ""},
		{"that doesn't hold yet", sign(t, jose.ES256, ec, "ec", good().with("nbf", noon.Add(61*time.Second).Unix())), Early},
		{"made in the future", sign(t, jose.ES256, ec, "ec", good().with("iat", noon.Add(61*time.Second).Unix())), Early},
		{"of another issuer", sign(t, jose.ES256, ec, "ec", good().with("iss", "https://id.example.com")), Issuer},
		{"of no issuer", sign(t, jose.ES256, ec, "ec", good().with("iss", nil)), Issuer},
		{"for another app", sign(t, jose.ES256, ec, "ec", good().with("aud", "apps")), Audience},
		{"for other apps", sign(t, jose.ES256, ec, "ec", good().with("aud", []string{"a", "b"})), Audience},
		{"for several apps", sign(t, jose.ES256, ec, "ec", good().with("aud", []string{"a", "app"})), ""},
		{"for nobody", sign(t, jose.ES256, ec, "ec", good().with("aud", nil)), Audience},
		{"with the subject twice", sign(t, jose.ES256, ec, "ec", []byte(`{"sub":"bob",`+plain[1:])), Malformed},
		{"with the subject in capitals", sign(t, jose.ES256, ec, "ec", good().with("sub", nil).with("Sub", "ann")), Claim},
		{"whose payload is null", sign(t, jose.ES256, ec, "ec", []byte("null")), Issuer},
		{"whose payload is a list", sign(t, jose.ES256, ec, "ec", []byte("[1]")), Malformed},
		{"whose payload is no JSON", sign(t, jose.ES256, ec, "ec", []byte("sub=ann")), Malformed},

		{"that is encrypted", "e30.e30.e30.e30.e30", Malformed},
		{"of JSON", `{"payload":"e30","protected":"e30","signature":"e30"}`, Malformed},
		{"of nothing", "..", Algorithm},
		{"of one part", "ann", Malformed},
		{"with white space in it", header + "." + payload + ".\t" + signature, Malformed},
		{"that is huge", header + "." + strings.Repeat("A", maxValue) + "." + signature, TooLong},
		{"with a header of lists in lists", written(`{"alg":"ES256","x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`, plain, nil), Signature},
		{"with claims of lists in lists", sign(t, jose.ES256, ec, "ec", []byte(`{"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`,`+plain[1:])), ""},
		{"with claims of lists that never end", sign(t, jose.ES256, ec, "ec", []byte(`{"x":`+strings.Repeat("[", 9000))), Malformed},
	} {
		want := ""
		if c.why == "" {
			want = "ann"
		}
		for range 2 { // the second time it is remembered
			if id := v.ID(&s, c.token); id != want {
				t.Errorf("a token %s is of %q, want %q", c.name, id, want)
			}
			if why := why(v); why != c.why {
				t.Errorf("a token %s is refused for %q, want %q", c.name, why, c.why)
			}
		}
	}
	// Each bit of a signature counts, but for those that base64 has to spare.
	raw := must(base64.RawURLEncoding.DecodeString(signature))
	for i := range len(raw) * 8 {
		changed := bytes.Clone(raw)
		changed[i/8] ^= 1 << (i % 8)
		if id := v.ID(&s, header+"."+payload+"."+base64.RawURLEncoding.EncodeToString(changed)); id != "" {
			t.Errorf("a token whose signature is off in bit %d is of %q", i, id)
		}
	}
}

// TestSharedSecret: tokens by HMAC, and nothing else.
func TestSharedSecret(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	s := bySecret(secret)
	v := newVerifiers(t, s)
	for size, algorithm := range map[int]jose.SignatureAlgorithm{32: jose.HS256, 48: jose.HS384, 64: jose.HS512} {
		if size > 32 { // package rules refuses shorter secrets
			short := bySecret(secret[:size-1])
			v := newVerifiers(t, short)
			if got := v.ID(&short, sign(t, algorithm, []byte(secret), "", good())); got != "" || why(v) != Algorithm {
				t.Errorf("%s with a secret of %d bytes: %q", algorithm, size-1, got)
			}
		}
		for _, id := range []string{"", "a"} {
			if got := v.ID(&s, sign(t, algorithm, []byte(secret), id, good())); got != "ann" {
				t.Errorf("%s with the key id %q: %q, refused for %q", algorithm, id, got, why(v))
			}
		}
		if got := v.ID(&s, sign(t, algorithm, []byte(secret[1:]+"0"), "", good())); got != "" || why(v) != Signature {
			t.Errorf("%s of another secret: %q", algorithm, got)
		}
	}
	if got := v.ID(&s, sign(t, jose.RS256, rsaKey(), "", good())); got != "" || why(v) != Algorithm {
		t.Errorf("a token of a public key: %q", got)
	}
}

func TestClaims(t *testing.T) {
	payload := []byte(`{"sub": "ann", "n": 42, "neg": -7, "float": 1.5, "exp10": 1e3, "yes": true, "null": null, "list": ["a"], "object": {"id": "o"},
		"empty": "", "control": "a\u0000b", "umlaut": "\u00c4nn", "big": 123456789012345678901234567890, "long": "` + strings.Repeat("x", 201) + `",
		"https://example.com/org": "org-1", "a.b": "exact", "a": {"b": "path", "c": {"d": "deep"}}, "x": "text", "x.y": {"z": "joined"}}`)
	const secret = "0123456789abcdef0123456789abcdef"
	token := sign(t, jose.HS256, []byte(secret), "", payload)
	for claim, want := range map[string]string{
		"sub": "ann", "n": "42", "neg": "-7", "float": "", "exp10": "", "yes": "", "null": "", "list": "", "object": "", "empty": "",
		"control": "", "umlaut": "Änn", "big": "123456789012345678901234567890", "long": "", "https://example.com/org": "org-1",
		"object.id": "o", "a.b": "exact", "a.c.d": "deep", "x.y.z": "joined", "a.c": "", "a.": "", ".": "", "a..b": "", "none": "", "sub.x": "",
	} {
		s := bySecret(secret)
		s.Proof.Claim = claim
		v := newVerifiers(t, s)
		if got := v.ID(&s, token); got != want {
			t.Errorf("the claim %q is %q, want %q", claim, got, want)
		}
		if why := why(v); (why == Claim) != (want == "") {
			t.Errorf("the claim %q is refused for %q", claim, why)
		}
	}
}

func TestHeaders(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	token := sign(t, jose.HS256, []byte(secret), "", good())
	for value, want := range map[string]string{
		"Bearer " + token: "ann", "bearer   " + token + " ": "ann", "Basic YTpi": "", token: "", "Bearer": "", "Bearer  ": "", "Bearer x" + token: "",
	} {
		s := bySecret(secret)
		s.Kind, s.Name = "header", "Authorization"
		v := newVerifiers(t, s)
		if got := v.ID(&s, value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
		if why := why(v); (why != "") != strings.Contains(value, "x"+token) && value != "Bearer  " {
			t.Errorf("%q is refused for %q", value, why)
		}
	}
	s := bySecret(secret)
	s.Kind, s.Name = "header", "X-Id-Token"
	if got := newVerifiers(t, s).ID(&s, token); got != "ann" {
		t.Errorf("in a header of its own: %q", got)
	}
}

// TestRemembered: a token is verified once, and no longer believed when it has
// expired, or when the key set is another.
func TestRemembered(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	file := keyFile(t, jwks(public(ec, "a")))
	s := byKeys(file)
	v := newVerifiers(t, s)
	now := noon
	v.Now = func() time.Time { return now }
	token := sign(t, jose.ES256, ec, "a", good())
	remembered := func() (valid, bad int) {
		state := v.live.Load().now[0].jwt.current()
		return state.valid.Len(), state.bad.Len()
	}
	for range 3 {
		if id := v.ID(&s, token); id != "ann" {
			t.Fatalf("the token is of %q", id)
		}
	}
	if valid, bad := remembered(); valid != 1 || bad != 0 {
		t.Errorf("%d valid and %d refused tokens are remembered", valid, bad)
	}
	use(t, v, s) // a reload that changes nothing
	if valid, _ := remembered(); valid != 1 {
		t.Error("a reload forgets what holds")
	}
	now = noon.Add(time.Hour + time.Minute)
	if id := v.ID(&s, token); id != "ann" {
		t.Errorf("at its end the token is of %q", id)
	}
	now = now.Add(time.Second)
	if id := v.ID(&s, token); id != "" || why(v) != Expired {
		t.Errorf("after its end the token is of %q", id)
	}
	if valid, bad := remembered(); valid != 0 || bad != 1 {
		t.Errorf("%d valid and %d refused tokens are remembered", valid, bad)
	}
	now = noon
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if err := os.WriteFile(file, jwks(public(other, "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	use(t, v, s)
	if id := v.ID(&s, token); id != "" || why(v) != Signature {
		t.Errorf("a token of a key that is gone is of %q", id)
	}
	if id := v.ID(&s, sign(t, jose.ES256, other, "a", good())); id != "ann" {
		t.Errorf("a token of the new key is of %q", id)
	}
	for name, raw := range map[string]string{"broken": "{", "empty": `{"keys":[]}`} {
		if err := os.WriteFile(file, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Prepare(&rules.Identity{Visitor: []rules.IdentitySource{s}}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("a file that is %s: %v", name, err)
		}
	}
	for i := range refused + 10 { // what is remembered is bounded
		v.ID(&s, fmt.Sprintf("%d.%s", i, token))
	}
	if _, bad := remembered(); bad != refused {
		t.Errorf("%d refused tokens are remembered", bad)
	}
}

// TestSourcesTogether: a visitor and an account of one token, sources of one name,
// and requests that began under the load before.
func TestSourcesTogether(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	visitor, account, other := bySecret(secret), bySecret(secret), bySecret(secret+"x")
	account.Proof.Claim = "org"
	v := newVerifiers(t)
	s, err := v.Prepare(&rules.Identity{Visitor: []rules.IdentitySource{visitor, {Kind: "cookie", Name: "user"}}, Account: []rules.IdentitySource{account}})
	if err != nil {
		t.Fatal(err)
	}
	v.Use(s)
	token := sign(t, jose.HS256, []byte(secret), "", good().with("org", 7))
	if v.ID(&visitor, token) != "ann" || v.ID(&account, token) != "7" || v.ID(&other, token) != "" {
		t.Errorf("visitor %q, account %q, a source that isn't there %q", v.ID(&visitor, token), v.ID(&account, token), v.ID(&other, token))
	}
	if n := v.live.Load().now[0].jwt.current().valid.Len(); n != 1 || v.live.Load().now[0].jwt != v.live.Load().now[1].jwt {
		t.Errorf("the token is remembered %d times", n)
	}
	v.ID(&visitor, "x")
	v.ID(&account, "x")
	if n := v.Refused()["jwt:session"][Malformed]; n != 2 {
		t.Errorf("refused: %d, want 2", n)
	}
	use(t, v, other)
	if v.ID(&visitor, token) != "ann" || v.ID(&other, token) != "" {
		t.Error("requests under the load before have lost their visitor")
	}
	if n := v.Refused()["jwt:session"][Malformed]; n != 2 {
		t.Errorf("after a reload, refused: %d, want 2", n)
	}
	use(t, v, other)
	if v.ID(&visitor, token) != "" {
		t.Error("a source that was taken off is still believed")
	}
}
