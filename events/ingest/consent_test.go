package ingest_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/ingest"
)

func TestConsent(t *testing.T) {
	whole := &ingest.Consent{Cookie: "analytics", Value: "granted"}
	part := &ingest.Consent{Cookie: "OptanonConsent", Contains: "C0002:1"}
	const browser = "Sec-Fetch-Mode: cors"
	for _, test := range []struct {
		name    string
		consent *ingest.Consent
		headers string
		why     string // empty: kept
	}{
		{"agreed", whole, "Cookie: a=b; analytics=granted", ""},
		{"quoted", whole, `Cookie: analytics="granted"`, ""},
		{"refused", whole, "Cookie: analytics=denied", "consent"},
		{"empty", whole, "Cookie: analytics=", "consent"},
		{"not asked yet", whole, "Cookie: a=b", "consent"},
		{"without any cookie", whole, browser, "consent"},
		{"of another origin", whole, "Origin: https://other.example", "consent"},
		{"no such case", whole, "Cookie: analytics=Granted", "consent"},
		{"a part is not the whole", whole, "Cookie: analytics=granted-not", "consent"},
		{"twice", whole, "Cookie: analytics=granted; analytics=granted", ""},
		{"both", whole, "Cookie: analytics=granted; analytics=denied", "consent"},
		{"in two lines", whole, "Cookie: analytics=granted\nCookie: analytics=denied", "consent"},
		{"opted out", whole, "Cookie: analytics=granted\nSec-GPC: 1", "gpc"},
		{"not opted out", whole, "Cookie: analytics=granted\nSec-GPC: 0", ""},
		{"a server", whole, "User-Agent: analytics-go", ""},
		{"an image of a page, and nothing else", whole, "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "consent"},
		{"escaped", part, "Cookie: OptanonConsent=groups%3DC0001%3A1%2CC0002%3A1&x=%zz", "consent"}, // broken
		{"escaped part", part, "Cookie: OptanonConsent=groups%3DC0001%3A1%2CC0002%3A1", ""},
		{"plain part", part, "Cookie: OptanonConsent=groups=C0001:1%2CC0002:1", ""},
		{"another part", part, "Cookie: OptanonConsent=groups%3DC0001%3A1%2CC0002%3A0", "consent"},
		{"nothing asked", nil, "Cookie: analytics=denied\nSec-GPC: 1", ""},
	} {
		kept, teed, why := 0, 0, ""
		m := ingest.Mount{
			Consent:  test.consent,
			Append:   func(context.Context, []*events.Event) error { kept++; return nil },
			Withheld: func(reason string) { why += reason },
		}
		r := httptest.NewRequest("POST", "/v1/track", strings.NewReader("body"))
		for line := range strings.SplitSeq(test.headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Add(name, value)
		}
		err := m.Store(r, []*events.Event{{}})
		m.Tee = func(context.Context, []byte, []*events.Event) error { teed++; return nil }
		if again := m.Store(r, []*events.Event{{}}); err != nil || again != nil {
			t.Errorf("%s: %v, %v", test.name, err, again)
		}
		if test.why == "" && (kept != 1 || teed != 1 || why != "") || test.why != "" && (kept != 0 || teed != 0 || why != test.why+test.why) {
			t.Errorf("%s: kept %d, sent on %d, withheld for %q, want %q", test.name, kept, teed, why, test.why)
		}
	}
}
