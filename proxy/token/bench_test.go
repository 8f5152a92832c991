package token

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/seed14307185/refract/rules"
)

// BenchmarkID is what a request pays for who it is from: for a token that is
// remembered, for one that is new, and for a signed cookie.
func BenchmarkID(b *testing.B) {
	npm, python := readVectors(b, "npm.json"), readVectors(b, "python.json")
	file := keyFile(b, npm.JWKS)
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA, jose.HS256} {
		s := bySecret(npm.Secret)
		if algorithm != jose.HS256 {
			s = byKeys(file)
		}
		v := newVerifiers(b, s)
		token := npm.Tokens[algorithm]
		b.Run(fmt.Sprint(algorithm, "/remembered"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v.ID(&s, token) != "ann" {
					b.Fatal(why(v))
				}
			}
		})
		b.Run(fmt.Sprint(algorithm, "/new"), func(b *testing.B) {
			b.ReportAllocs()
			jwt := v.live.Load().now[0].jwt
			for b.Loop() {
				if jwt.verify(jwt.current().keys, token, noon).why != "" {
					b.Fatal("it is refused")
				}
			}
		})
	}
	for format, cookie := range map[string]string{
		rules.Express: npm.Express[0].Cookie, rules.HMAC: npm.HMAC[0].Cookie, rules.Django: python.Django[0].Cookie, rules.Flask: python.Flask[0].Cookie,
	} {
		s := signedBy(format, npm.Secret)
		v := newVerifiers(b, s)
		v.Now = func() time.Time { return made }
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v.ID(&s, cookie) != "ann" {
					b.Fatal(why(v))
				}
			}
		})
	}
}
