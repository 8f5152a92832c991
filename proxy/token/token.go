// Package token tells ids that are proved from ids that are made up: it verifies
// JSON Web Tokens (RFC 7519) and cookies with a signature, and keeps the key
// sets (RFC 7517) that tokens are verified by.
//
// A request never waits for the network. Key sets are fetched beside it, and a
// token whose key isn't there proves nothing until it is. What was verified is
// remembered for as long as it holds, so a page's requests verify a token once.
package token

import (
	"crypto/sha256"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
	"github.com/go-jose/go-jose/v4/jwt"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

const (
	// maxValue is the longest token or signed cookie, in bytes.
	maxValue = 16 << 10

	// remembered is how many tokens of a kind are known to be valid, and refused
	// how many are known to be not. An entry takes some 200 bytes, and the claims
	// that are ids.
	remembered = 16384
	refused    = 1024

	// guesses is how many keys are tried for a token that names none.
	guesses = 8
)

// Reason says why a token that is there proves nothing.
type Reason string

// The reasons.
const (
	TooLong   Reason = "too-long"    // more than 16 KiB
	Malformed Reason = "malformed"   // it isn't what the site says that it is
	Algorithm Reason = "algorithm"   // signed by one that keys of this kind aren't for, or not at all
	Key       Reason = "unknown-key" // its key is not in the key set, which may be on its way
	Signature Reason = "signature"   // it is made up, changed, or signed by another key
	Expired   Reason = "expired"
	Early     Reason = "not-yet" // its nbf or iat is to come
	Issuer    Reason = "issuer"
	Audience  Reason = "audience"
	Claim     Reason = "claim" // what would have the id is missing, or no id
)

// Reasons lists every reason.
var Reasons = [...]Reason{TooLong, Malformed, Algorithm, Key, Signature, Expired, Early, Issuer, Audience, Claim}

// seen is what a token says, or why it says nothing.
type seen struct {
	ids   []string  // by the verifier's claims; empty: the claim is no id
	until time.Time // it holds no longer; zero: for ever
	why   Reason    // empty: it is valid
}

// verifier verifies the JWTs of one kind: same keys, issuer, audience and leeway.
type verifier struct {
	proof  rules.Proof // without its claim
	claims []string    // that somebody wants
	keys   *keySet     // nil: proof.Secret
	state  atomic.Pointer[state]
}

// state is what goes when the keys do.
type state struct {
	keys  *keys
	valid *lru.Cache[[sha256.Size]byte, *seen]
	bad   *lru.Cache[[sha256.Size]byte, *seen]
}

func newState(k *keys) *state {
	s := &state{keys: k}
	s.valid, _ = lru.New[[sha256.Size]byte, *seen](remembered) // fails for sizes below 1 alone
	s.bad, _ = lru.New[[sha256.Size]byte, *seen](refused)
	return s
}

// current returns what goes with the keys that there are now.
func (v *verifier) current() *state {
	for {
		s := v.state.Load()
		if v.keys == nil || s.keys == v.keys.now.Load() {
			return s
		}
		v.state.CompareAndSwap(s, newState(v.keys.now.Load()))
	}
}

// look verifies a token, if that was not done before.
func (v *verifier) look(token string, now time.Time) *seen {
	if len(token) > maxValue {
		return &seen{why: TooLong}
	}
	s := v.current()
	sum := sha256.Sum256([]byte(token))
	if known, ok := s.valid.Get(sum); ok {
		if known.until.IsZero() || !now.After(known.until) {
			return known
		}
		s.valid.Remove(sum)
	}
	if known, ok := s.bad.Get(sum); ok {
		return known
	}
	found := v.verify(s.keys, token, now)
	switch found.why {
	case "":
		s.valid.Add(sum, found)
	case Early: // not for long
	case Key:
		if v.keys != nil {
			v.keys.ask()
		}
	default:
		s.bad.Add(sum, found)
	}
	return found
}

func (v *verifier) verify(k *keys, token string, now time.Time) *seen {
	refuse := func(why Reason) *seen { return &seen{why: why} }
	parsed, err := jwt.ParseSigned(token, k.algorithms)
	if errors.As(err, new(*jose.ErrUnexpectedSignatureAlgorithm)) {
		return refuse(Algorithm)
	} else if err != nil || len(parsed.Headers) != 1 {
		return refuse(Malformed)
	}
	header := parsed.Headers[0]
	candidates := k.find(header.KeyID, jose.SignatureAlgorithm(header.Algorithm))
	if len(candidates) == 0 {
		return refuse(Key)
	}
	var all map[string]json.RawMessage
	var claims jwt.Claims
	for _, key := range candidates {
		if err = parsed.Claims(key, &claims, &all); !errors.Is(err, jose.ErrCryptoFailure) {
			break
		}
	}
	switch {
	case errors.Is(err, jose.ErrCryptoFailure):
		return refuse(Signature)
	case err != nil:
		return refuse(Malformed)
	}
	expected := jwt.Expected{Issuer: v.proof.Issuer, Time: now}
	if v.proof.Audience != "" {
		expected.AnyAudience = jwt.Audience{v.proof.Audience}
	}
	switch err := claims.ValidateWithLeeway(expected, v.proof.Leeway); {
	case errors.Is(err, jwt.ErrExpired):
		return refuse(Expired)
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return refuse(Early)
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return refuse(Issuer)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return refuse(Audience)
	case err != nil:
		return refuse(Malformed)
	}
	found := &seen{ids: make([]string, len(v.claims))}
	if claims.Expiry != nil {
		found.until = claims.Expiry.Time().Add(v.proof.Leeway)
	}
	for i, name := range v.claims {
		found.ids[i] = idOf(claimOf(all, name))
	}
	return found
}

// claimOf returns the claim of that name, or else the one that the parts of the
// name lead to; nil: there is none.
func claimOf(all map[string]json.RawMessage, name string) json.RawMessage {
	if v, ok := all[name]; ok {
		return v
	}
	for i := 0; i < len(name); i++ {
		if name[i] != '.' {
			continue
		}
		var inner map[string]json.RawMessage
		if v, ok := all[name[:i]]; ok && json.Unmarshal(v, &inner) == nil {
			if found := claimOf(inner, name[i+1:]); found != nil {
				return found
			}
		}
	}
	return nil
}

// idOf returns the id that a JSON value is: a string, or a whole number as it is
// written. Anything else is none.
func idOf(v json.RawMessage) string {
	if len(v) == 0 {
		return ""
	}
	if v[0] == '"' {
		var s string
		if json.Unmarshal(v, &s) != nil {
			return ""
		}
		return validID(s)
	}
	if digits := strings.TrimPrefix(string(v), "-"); strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return validID(string(v))
}

// validID returns the id, or nothing if it can't be one.
func validID(s string) string {
	if len(s) > events.MaxID || !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return ""
	}
	return s
}
