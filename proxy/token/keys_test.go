package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestKeySets: what of a key set is taken, and for what.
func TestKeySets(t *testing.T) {
	p256, p384 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	one := public(p256, "a")
	change := func(k jose.JSONWebKey, change func(*jose.JSONWebKey)) jose.JSONWebKey { change(&k); return k }
	asJSON := func(k jose.JSONWebKey) string { return string(must(k.MarshalJSON())) }
	with := func(k jose.JSONWebKey, member string) string {
		return strings.TrimSuffix(asJSON(k), "}") + "," + member + "}"
	}
	for name, c := range map[string]struct {
		set  string
		want string // ids and algorithms; empty: an error
	}{
		"one key":                    {asJSON(one), "a [ES256]"},
		"a key of P-384":             {asJSON(public(p384, "b")), "b [ES384]"},
		"RSA":                        {asJSON(public(rsaKey(), "c")), "c [RS256 RS384 RS512 PS256 PS384 PS512]"},
		"RSA for one algorithm":      {asJSON(change(public(rsaKey(), "c"), func(k *jose.JSONWebKey) { k.Algorithm = "PS256" })), "c [PS256]"},
		"RSA for one of EC":          {asJSON(change(public(rsaKey(), "c"), func(k *jose.JSONWebKey) { k.Algorithm = "ES256" })), ""},
		"RSA for HMAC":               {asJSON(change(public(rsaKey(), "c"), func(k *jose.JSONWebKey) { k.Algorithm = "HS256" })), ""},
		"RSA of 1024 bits":           {asJSON(public(small, "c")), ""},
		"for encryption":             {asJSON(change(one, func(k *jose.JSONWebKey) { k.Use = "enc" })), ""},
		"for other operations":       {with(one, `"key_ops":["encrypt"]`), ""},
		"for verifying":              {with(one, `"key_ops":["verify"]`), "a [ES256]"},
		"a secret":                   {asJSON(jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "d"}), ""},
		"a secret beside a key":      {asJSON(jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "d"}) + "," + asJSON(one), "a [ES256]"},
		"a private key":              {asJSON(jose.JSONWebKey{Key: p256, KeyID: "a"}), "a [ES256]"},
		"unknown kinds beside a key": {`{"kty":"X"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{},` + asJSON(one), "a [ES256]"},
		"a point off the curve":      {`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`, ""},
		"no keys":                    {"", ""},
		"what is no key":             {"5", ""},
	} {
		k, err := parseKeys([]byte(`{"keys":[` + c.set + `]}`))
		got := ""
		if err == nil {
			for _, key := range k.list {
				got = strings.TrimSpace(got + " " + key.id + " " + fmt.Sprint(key.algorithms))
				if signer, private := key.key.(crypto.Signer); private {
					t.Errorf("%s: a private %T is kept", name, signer)
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q (%v)", name, got, c.want, err)
		}
	}
	for _, raw := range []string{"", "null", "[]", `{"keys":5}`, "<html>", `{"keys":[` + strings.Repeat("5,", 100) + `5]}`, strings.Repeat(" ", maxKeySet+1)} {
		if k, err := parseKeys([]byte(raw)); err == nil {
			t.Errorf("%.20q is a key set of %d keys", raw, len(k.list))
		}
	}
}
