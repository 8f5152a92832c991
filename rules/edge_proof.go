package rules

import (
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DefaultLeeway is how far clocks may be apart for the times of a JWT.
const DefaultLeeway = time.Minute

// JWT is the format of a JSON Web Token.
const JWT = "jwt"

// The formats of cookies with a signature.
const (
	Express = "express" // s:VALUE.SIGNATURE of cookie-parser, by HMAC-SHA256
	Django  = "django"  // VALUE:TIME:SIGNATURE of set_signed_cookie
	Flask   = "flask"   // the session: JSON, by itsdangerous
	HMAC    = "hmac"    // VALUE.SIGNATURE: HMAC-SHA256 in hex
)

// SignedFormats lists the formats of cookies with a signature.
var SignedFormats = []string{Express, Django, Flask, HMAC}

// leastSecret is the shortest secret for HMAC-SHA256 in RFC 7518, section 3.2, in
// bytes: whoever sees one token can try shorter ones.
const leastSecret = 32

// same says whether two sources read the same.
func (s IdentitySource) same(o IdentitySource) bool {
	return s.Kind == o.Kind && s.Name == o.Name && s.Proof != nil && o.Proof != nil && *s.Proof == *o.Proof
}

// readProof reads an entry of the visitor's or the account's sources that is a
// mapping.
func readProof(entry value, key string) (IdentitySource, bool) {
	const what = "a mapping with jwt or signed"
	f, ok := entry.fields(what, "jwt", "signed")
	if !ok || len(f.pairs) == 0 && len(f.meant) > 0 {
		return IdentitySource{}, false
	}
	if len(f.pairs) != 1 {
		entry.refuse("begin each source with \"- \"", "an entry of %s is one source, found %d", key, len(f.pairs))
		return IdentitySource{}, false
	}
	before := len(*entry.doc.problems)
	read := readSigned
	if f.pairs[0].value.name == "jwt" {
		read = readJWT
	}
	s := read(f.pairs[0].value, key)
	return s, len(*entry.doc.problems) == before
}

// readJWT reads where a JWT is and what it must say.
func readJWT(v value, key string) IdentitySource {
	s := IdentitySource{Proof: &Proof{Format: JWT, Leeway: DefaultLeeway}}
	p := s.Proof
	f, ok := v.fields("a mapping with cookie or header, and jwks or secret", "cookie", "header", "claim", "jwks", "secret", "issuer", "audience", "leeway")
	if !ok {
		return s
	}
	cookie, header := f.get("cookie"), f.get("header")
	switch {
	case cookie.present() == header.present():
		v.refuse("cookie: NAME, or header: Authorization", "a token is read from a cookie or from a header")
	case cookie.present():
		s.Kind = "cookie"
		set(&s.Name)(fieldName(cookie))
	default:
		s.Kind = "header"
		set(&s.Name)(fieldName(header))
		s.Name = textproto.CanonicalMIMEHeaderKey(s.Name)
	}
	p.readClaim(f, key, "sub")
	keys, shared := f.get("jwks"), f.get("secret")
	switch {
	case keys.present() == shared.present():
		v.refuse("jwks: URL or file with the public keys; or secret: env:NAME, if the app signs by HMAC", "a token needs jwks or secret")
	case shared.present():
		set(&p.Secret)(secret(shared))
		if strings.Contains(p.Secret, "-----BEGIN") {
			shared.refuse("put public keys into a JWK Set: jwks: FILE", "secret is a key in PEM, which is no secret that tokens are signed with")
		}
		if n := len(p.Secret); n > 0 && n < leastSecret {
			shared.refuse("take 32 random bytes: openssl rand -hex 32", "secret has %d bytes: a JWT's must have %d at least, or whoever has a token of their own can find it by trying", n, leastSecret)
		}
	default:
		set(&p.Keys)(keySet(keys))
		if audience := f.get("audience"); p.Keys != "" && isWeb(p.Keys) && !audience.present() {
			audience.warn("audience: what the tokens for this app have as their aud", "every token that the keys of jwks sign is believed, also those for other apps")
		}
	}
	set(&p.Issuer)(f.get("issuer").word(1000))
	set(&p.Audience)(f.get("audience").word(1000))
	leeway := f.get("leeway")
	set(&p.Leeway)(wait(leeway))
	if p.Leeway > time.Hour {
		leeway.refuse("", "leeway must be at most 1h: tokens are taken for so long after they expire")
	}
	return s
}

// readSigned reads which cookie has a signature, and of which kind.
func readSigned(v value, key string) IdentitySource {
	s := IdentitySource{Kind: "cookie", Proof: &Proof{}}
	p := s.Proof
	f, ok := v.fields("a mapping with cookie, format and secret", "cookie", "format", "secret", "claim", "max_age")
	if !ok {
		return s
	}
	set(&s.Name)(fieldName(f.need("cookie", "the cookie's name: cookie: NAME")))
	set(&p.Format)(f.need("format", "whose signature it is: "+either(SignedFormats)).oneOf(SignedFormats...))
	shared := f.need("secret", "what the app signs with: secret: env:NAME")
	set(&p.Secret)(secret(shared))
	if n := len(p.Secret); n > 0 && n < leastSecret {
		shared.warn("take 32 random bytes: openssl rand -hex 32", "secret has %d bytes: whoever has a cookie of their own can find a short one by trying", n)
	}
	if claim := f.get("claim"); p.Format == Flask {
		p.readClaim(f, key, "_user_id")
	} else if claim.present() && p.Format != "" {
		claim.refuse("leave it out: the whole value is the id", "claim is for format flask, whose cookie has several values")
	}
	age := f.get("max_age")
	set(&p.MaxAge)(window(age))
	if age.present() && p.Format != "" && p.Format != Django && p.Format != Flask {
		age.refuse("", "max_age is for formats django and flask: others don't say when they were signed")
	}
	return s
}

// readClaim reads which claim has the id: for visitors there is a usual one.
func (p *Proof) readClaim(f fields, key, usual string) {
	claim := f.get("claim")
	if claim.present() {
		set(&p.Claim)(claim.word(200))
	} else if p.Claim = usual; key != "visitor" {
		f.need("claim", "the claim that has the id: claim: org_id")
	}
}

// fieldName returns the name of a cookie or header.
func fieldName(v value) (string, bool) {
	s, ok := v.word(200)
	if ok && !tokenSyntax().MatchString(s) {
		v.refuse("", "%q is not the name of a %s", s, v.name)
		return "", false
	}
	return s, ok
}

// keySet returns the URL or path of a JWK Set.
func keySet(v value) (string, bool) {
	s, ok := v.word(2000)
	if !ok {
		return "", false
	}
	if !isWeb(s) {
		return siteFile(v)
	}
	s, ok = webAddress(v, false)
	if u, err := url.Parse(s); ok && err == nil && u.Scheme == "http" && !isLocal(u.Hostname()) {
		v.warn("use https://, unless the network is yours", "%s: whoever is on the way can put keys of their own there", v.name)
	}
	return s, ok
}

// isWeb says whether the place of a JWK Set is a URL.
func isWeb(place string) bool { return strings.Contains(place, "://") }

// Remote says whether the keys are fetched from a URL.
func (p *Proof) Remote() bool { return isWeb(p.Keys) }

// keepTokensOutOfLogs refuses to log headers that tokens are read from.
func (e *Edge) keepTokensOutOfLogs(log value) {
	for _, s := range slices.Concat(e.Identity.Visitor, e.Identity.Account) {
		if s.Kind == "header" && s.Proof != nil && slices.Contains(e.AccessLog.Headers, s.Name) {
			log.refuse("take it off access_log.headers", "%s has tokens: it is never logged, since who reads it can be the visitor", s.Name)
			return
		}
	}
}
