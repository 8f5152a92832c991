package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

// wikiTest is the binary in front of the wiki, with a recorder between them.
type wikiTest struct {
	r         *refract
	rec       *recorder
	exchanges int
}

// browser is somebody who looks at the wiki.
type browser struct {
	w       *wikiTest
	cookies map[string]string // nil: it keeps none
	own     string            // cookies that are not the wiki's, as on the wire
	lines   []string          // further header lines of every request
	decided bool              // somebody for whom the rule decides where its surface may be
}

// plainLines are what a browser sends, and what is easily lost on the way.
var plainLines = []string{
	"accept: text/html,application/xhtml+xml;q=0.9, */*;q=0.1", "Accept-Language: sv,  en;q=0.5",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"X-Twice: b, c", "X-Empty:", "X-Twice: a", "x-ODD_name: \xe5\xe4\xf6 \"q\"", "Sec-Fetch-Mode: navigate", "Via: 1.0 a-cache",
	"Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5",
}

// undecodable ends an Accept-Encoding header that Refract must shorten where it
// looks into the page.
const undecodable = ", compress, dcb;q=0.5"

// touched says whether the surface of the rule can be on a page.
func touched(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	rest, below := strings.CutPrefix(path, "/projects/")
	return path == "/doku.php" || below && rest != "" && !strings.Contains(rest, "/")
}

// visit sends a request, and checks what the origin got of it.
func (b *browser) visit(t *testing.T, method, target, body string, lines ...string) exchange {
	t.Helper()
	b.w.exchanges++
	all := append([]string{"Host: " + strings.TrimPrefix(b.w.r.edge, "http://")}, b.lines...)
	all = append(all, lines...)
	if cookie := b.cookie(); cookie != "" {
		all = append(all, "Cookie: "+cookie)
	}
	if body != "" {
		all = append(all, "Content-Type: application/x-www-form-urlencoded")
	}
	x := b.w.rec.through(t, b.w.r.edge, fmt.Sprint(b.w.exchanges), method, target, all, body)
	if b.cookies != nil {
		for _, c := range (&http.Response{Header: http.Header(x.got.header)}).Cookies() {
			if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
				delete(b.cookies, c.Name)
			}
		}
	}

	want := drop(endToEnd(x.asked.header), "Cookie")
	for _, line := range x.asked.header["Cookie"] {
		if line = originCookie(line); line != "" {
			want["Cookie"] = append(want["Cookie"], line)
		}
	}
	if b.decided && touched(target) && (method == http.MethodGet || method == http.MethodHead) {
		want = drop(want, "If-None-Match", "If-Modified-Since", "If-Range", "Range")
		if len(want["Accept-Encoding"]) > 0 {
			want["Accept-Encoding"] = []string{strings.TrimSuffix(want["Accept-Encoding"][0], undecodable)}
		}
	}
	for _, d := range headerDiff(want, drop(endToEnd(x.forwarded.header), "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")) {
		t.Errorf("%s %s: the origin gets another %s", method, target, d)
	}
	if x.asked.start != x.forwarded.start {
		t.Errorf("the origin gets %q of %q", x.forwarded.start, x.asked.start)
	}
	if d := bodyDiff(x.asked.body, x.forwarded.body); d != "" {
		t.Errorf("%s %s: the origin gets another request: %s", method, target, d)
	}
	return x
}

// cookie is the Cookie header: one of ours in the middle, if it has that.
func (b *browser) cookie() string {
	var all []string
	for name, value := range b.cookies {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	if b.own != "" {
		all = slices.Insert(all, len(all)/2, b.own)
	}
	return strings.Join(all, "; ")
}

var firstParty = regexp.MustCompile(`(?:^|; )__Host-refract=[^;]*`)

// originCookie is a Cookie header without what is not the origin's.
func originCookie(s string) string {
	return strings.TrimPrefix(firstParty.ReplaceAllString(s, ""), "; ")
}

// same checks that the client got what the origin sent.
func (x exchange) same(t *testing.T) {
	t.Helper()
	x.sameBut(t, drop(endToEnd(x.made.header), "Date"), x.made.body)
}

// sameBut is same for a header that should differ from the origin's.
func (x exchange) sameBut(t *testing.T, header textproto.MIMEHeader, body []byte) {
	t.Helper()
	x.sameHead(t, header)
	if d := bodyDiff(body, x.got.body); d != "" {
		t.Errorf("%s: %s", x.asked.start, d)
	}
}

// sameDecoded is sameBut for a page that Refract has looked into: a coding holds
// the text, and not its own bytes.
func (x exchange) sameDecoded(t *testing.T, header textproto.MIMEHeader, text []byte) {
	t.Helper()
	x.sameHead(t, header)
	if d := bodyDiff(text, x.got.decoded(t)); d != "" {
		t.Errorf("%s: %s", x.asked.start, d)
	}
}

func (x exchange) sameHead(t *testing.T, header textproto.MIMEHeader) {
	t.Helper()
	if x.made.status() != x.got.status() {
		t.Errorf("%s: status %s, the origin said %s", x.asked.start, x.got.status(), x.made.status())
	}
	for _, d := range headerDiff(header, drop(endToEnd(x.got.header), "Date")) {
		t.Errorf("%s: %s", x.asked.start, d)
	}
}

// bareTag is what a page has whose origin sent no tag.
var bareTag = regexp.MustCompile(`^W/"-rfn[0-9a-f]{12}"$`)

// personal is the header of a page that may be somebody's own.
func (x exchange) personal(decided bool) textproto.MIMEHeader {
	h := drop(endToEnd(x.made.header), "Date", "Expires")
	if vary := h["Vary"]; !strings.Contains(strings.Join(vary, ", "), "Cookie") {
		h["Vary"] = append(slices.Clone(vary), "Cookie")
	}
	if decided {
		h = drop(h, "Content-Length", "Last-Modified", "Accept-Ranges")
		if tag := strings.TrimSuffix(strings.TrimPrefix(h.Get("ETag"), "W/"), `"`); tag != "" && strings.HasPrefix(x.got.header.Get("ETag"), "W/"+tag+"-rf") {
			h["Etag"] = x.got.header["Etag"]
		} else if tag == "" {
			h["Etag"] = slices.DeleteFunc(slices.Clone(x.got.header["Etag"]), func(tag string) bool { return !bareTag.MatchString(tag) })
			if len(h["Etag"]) != 1 {
				h["Etag"] = []string{"one of Refract's"}
			}
		}
		if vary := h["Vary"]; h["Content-Encoding"] != nil && !strings.Contains(strings.Join(vary, ", "), "Accept-Encoding") {
			h["Vary"] = append(slices.Clone(vary), "Accept-Encoding")
		}
	}
	h["Cache-Control"] = []string{"private, no-cache"}
	if strings.Contains(x.made.header.Get("Cache-Control"), "no-store") {
		h["Cache-Control"] = []string{"private, no-cache, no-store"}
	}
	return h
}

// page parses what a browser got.
func (x exchange) page(t *testing.T) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(x.got.decoded(t)))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// decoded is the body without its content coding.
func (m message) decoded(t *testing.T) []byte {
	t.Helper()
	if m.header.Get("Content-Encoding") != "gzip" {
		return m.body
	}
	r, err := gzip.NewReader(bytes.NewReader(m.body))
	if err != nil {
		t.Fatalf("%s: %v", m.start, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", m.start, err)
	}
	return text
}

// submit fills in a form of a page and sends it.
func (b *browser) submit(t *testing.T, on exchange, form, to string, values url.Values) exchange {
	t.Helper()
	doc := on.page(t).Find(form)
	if doc.Length() != 1 {
		t.Fatalf("%s has %d forms %q", on.asked.start, doc.Length(), form)
	}
	doc.Find("input[type=hidden]").Each(func(_ int, s *goquery.Selection) {
		if name := s.AttrOr("name", ""); !values.Has(name) {
			values.Set(name, s.AttrOr("value", ""))
		}
	})
	return b.visit(t, http.MethodPost, to, values.Encode())
}
