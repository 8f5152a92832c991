package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys is how many keys a set may have, and maxKeySet how many bytes.
	maxKeys   = 100
	maxKeySet = 1 << 20

	// leastRSA is the shortest modulus, in bits: RFC 7518, sections 3.3 and 3.5.
	leastRSA = 2048
)

// keys are what tokens are verified by. They don't change.
type keys struct {
	raw        []byte // of a key set, as it came
	list       []key
	algorithms []jose.SignatureAlgorithm // of all
}

// key is a key with the algorithms that it may be used by: those of its own kind,
// never what a token asks for.
type key struct {
	id         string
	anyID      bool
	key        any
	algorithms []jose.SignatureAlgorithm
}

// find returns the keys that can be a token's: of its id, or of any if it names
// none.
func (k *keys) find(id string, algorithm jose.SignatureAlgorithm) (all []any) {
	for i := range k.list {
		if c := &k.list[i]; (id == "" || c.id == id || c.anyID) && slices.Contains(c.algorithms, algorithm) && len(all) < guesses {
			all = append(all, c.key)
		}
	}
	return all
}

// sharedKey is a secret for HMAC, whatever id its tokens give it. It is for those
// hashes that are no longer than it: RFC 7518, section 3.2.
func sharedKey(secret string) *keys {
	var hmac []jose.SignatureAlgorithm
	for i, algorithm := range [...]jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512} {
		if len(secret) >= 32+16*i {
			hmac = append(hmac, algorithm)
		}
	}
	return &keys{list: []key{{anyID: true, key: []byte(secret), algorithms: hmac}}, algorithms: hmac}
}

// noKeys is a key set that isn't there yet. Its tokens lack a key, and are not of
// a wrong algorithm.
func noKeys() *keys { return &keys{algorithms: allAlgorithms} }

var (
	rsaAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	allAlgorithms = append(slices.Clone(rsaAlgorithms), jose.ES256, jose.ES384, jose.ES512, jose.EdDSA)
)

// parseKeys reads a JWK Set (RFC 7517, section 5). Keys that are not known, not
// sound, or not for signatures are left out; it is an error if none is left.
func parseKeys(raw []byte) (*keys, error) {
	if len(raw) > maxKeySet {
		return nil, fmt.Errorf("it has more than %d bytes", maxKeySet)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys: %d are possible", len(set.Keys), maxKeys)
	}
	k := &keys{raw: bytes.Clone(raw), algorithms: allAlgorithms}
	for _, one := range set.Keys {
		if c, ok := parseKey(one); ok {
			k.list = append(k.list, c)
		}
	}
	if len(k.list) == 0 {
		return nil, errors.New(`it has no public key that verifies signatures; hint: a JWK Set is {"keys": [...]}, with keys of RSA (2048 bits or more), EC or Ed25519`)
	}
	return k, nil
}

func parseKey(raw []byte) (key, bool) {
	var jwk jose.JSONWebKey
	var more struct {
		Operations []string `json:"key_ops"`
	}
	if json.Unmarshal(raw, &jwk) != nil || json.Unmarshal(raw, &more) != nil || !jwk.Valid() ||
		jwk.Use != "" && jwk.Use != "sig" || more.Operations != nil && !slices.Contains(more.Operations, "verify") {
		return key{}, false
	}
	public := jwk.Public()
	c := key{id: jwk.KeyID, key: public.Key}
	switch p := public.Key.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < leastRSA {
			return key{}, false
		}
		c.algorithms = rsaAlgorithms
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			c.algorithms = []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			c.algorithms = []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			c.algorithms = []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		c.algorithms = []jose.SignatureAlgorithm{jose.EdDSA}
	}
	if jwk.Algorithm != "" { // RFC 7517, section 4.4
		if !slices.Contains(c.algorithms, jose.SignatureAlgorithm(jwk.Algorithm)) {
			return key{}, false
		}
		c.algorithms = []jose.SignatureAlgorithm{jose.SignatureAlgorithm(jwk.Algorithm)}
	}
	return c, len(c.algorithms) > 0
}
