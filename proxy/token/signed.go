package token

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/seed14307185/refract/rules"
)

// maxSession is how many bytes the JSON of a session may have, unpacked.
const maxSession = 64 << 10

// unsign returns what stands in a cookie whose signature is right, or why it
// isn't believed. Nothing of it is parsed before that.
func unsign(p *rules.Proof, name, cookie string, now time.Time) (string, Reason) {
	if len(cookie) > maxValue {
		return "", TooLong
	}
	if strings.IndexByte(cookie, '%') >= 0 {
		if decoded, err := url.PathUnescape(cookie); err == nil {
			cookie = decoded
		}
	}
	if n := len(cookie); n >= 2 && cookie[0] == '"' && cookie[n-1] == '"' {
		cookie = cookie[1 : n-1] // as Python quotes them
	}
	switch p.Format {
	case rules.Express:
		return express(p, cookie)
	case rules.Django:
		return django(p, name, cookie, now)
	case rules.Flask:
		return flask(p, cookie, now)
	}
	value, sum, ok := cutLast(cookie, '.')
	signature, err := hex.DecodeString(sum)
	if !ok || err != nil {
		return "", Malformed
	}
	if !hmac.Equal(signature, sum256([]byte(p.Secret), value)) {
		return "", Signature
	}
	return value, ""
}

// express reads what cookie-parser verifies: npm cookie-signature, and a mark
// before it.
func express(p *rules.Proof, cookie string) (string, Reason) {
	rest, marked := strings.CutPrefix(cookie, "s:")
	value, signature, ok := cutLast(rest, '.')
	if !marked || !ok {
		return "", Malformed
	}
	if !same(signature, base64.RawStdEncoding.EncodeToString(sum256([]byte(p.Secret), value))) {
		return "", Signature
	}
	if strings.HasPrefix(value, "j:") {
		return "", Claim // an object as JSON
	}
	return value, ""
}

// django reads what HttpRequest.get_signed_cookie does, with its salt left out.
// The cookie's name is part of the key: one cookie is not taken for another.
func django(p *rules.Proof, name, cookie string, now time.Time) (string, Reason) {
	rest, signature, ok := cutLast(cookie, ':')
	value, stamp, timed := cutLast(rest, ':')
	if !ok || !timed {
		return "", Malformed
	}
	key := sha256.Sum256([]byte(name + "signer" + "django.http.cookies" + p.Secret))
	if !same(signature, base64.RawURLEncoding.EncodeToString(sum256(key[:], rest))) {
		return "", Signature
	}
	seconds, ok := base62(stamp)
	if !ok {
		return "", Malformed
	}
	return value, tooOld(p, seconds, now)
}

// flask reads what stands in a session of Flask: JSON, perhaps compressed, and
// what itsdangerous puts after it.
func flask(p *rules.Proof, cookie string, now time.Time) (string, Reason) {
	rest, signature, ok := cutLast(cookie, '.')
	payload, stamp, timed := cutLast(rest, '.')
	if !ok || !timed {
		return "", Malformed
	}
	key := sum(sha1.New, []byte(p.Secret), "cookie-session")
	if !same(signature, base64.RawURLEncoding.EncodeToString(sum(sha1.New, key, rest))) {
		return "", Signature
	}
	at, err := base64.RawURLEncoding.DecodeString(stamp)
	if err != nil || len(at) > 8 {
		return "", Malformed
	}
	if why := tooOld(p, int64(binary.BigEndian.Uint64(append(make([]byte, 8-len(at)), at...))), now); why != "" {
		return "", why
	}
	encoded, compressed := strings.CutPrefix(payload, ".")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err == nil && compressed {
		raw, err = inflate(raw)
	}
	var session map[string]json.RawMessage
	if err != nil || json.Unmarshal(raw, &session) != nil {
		return "", Malformed
	}
	return idOf(claimOf(session, p.Claim)), ""
}

func inflate(raw []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxSession)) // what is longer is no JSON then
}

// tooOld says whether a signature of so many seconds after 1970 is.
func tooOld(p *rules.Proof, seconds int64, now time.Time) Reason {
	if p.MaxAge > 0 && now.After(time.Unix(seconds, 0).Add(p.MaxAge)) {
		return Expired
	}
	return ""
}

func sum(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func sum256(key []byte, text string) []byte { return sum(sha256.New, key, text) }

// same compares in a time that doesn't tell where two signatures differ.
func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// cutLast cuts around the last separator.
func cutLast(s string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, separator)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// base62 reads a number as Django writes it.
func base62(s string) (n int64, ok bool) {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	if s == "" || len(s) > 10 {
		return 0, false
	}
	for i := range len(s) {
		d := strings.IndexByte(digits, s[i])
		if d < 0 {
			return 0, false
		}
		n = n*62 + int64(d)
	}
	return n, true
}
