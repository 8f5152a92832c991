package proxy

import (
	"crypto/sha256"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// controlPages are pages with the surface of a rule: short ones, long ones, and
// one from the wild.
func controlPages(t *testing.T) map[string]string {
	wild, err := os.ReadFile("../rewrite/coding/testdata/vectors/page.html")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.Index(string(wild), "<body")
	end := body + strings.IndexByte(string(wild[body:]), '>') + 1
	return map[string]string{
		"card": cardPage, "long": longPage(), "without the surface": "<!DOCTYPE html><p>nothing here\r\n\x00",
		"wild": string(wild[:end]) + `<DIV class='a' data-surface=project-home.card>&amp;` + "\r\n</DIV>" + string(wild[end:]),
	}
}

// Control gets the origin's page, whatever codings it comes and goes in, and the
// proof says so: its hash is that of what the origin sent. Treatment is not
// proved.
func TestControlIsProved(t *testing.T) {
	for name, page := range controlPages(t) {
		for _, from := range []string{"", "gzip", "br", "zstd", "deflate"} {
			body, header := page, []string{"Content-Type", "text/html; charset=utf-8", "X-App", "1"}
			if from != "" {
				body, header = inCoding(from, page), append(header, "Content-Encoding", from)
			}
			edge, s, p := front(t, pageWith(body, header...))
			p.Prove = func(rules.Decision, time.Time) bool { return true }
			control := s.member(p, "invite-teammate", rules.Control)
			treated := s.member(p, "invite-teammate", rules.Treatment)
			for _, to := range []string{"identity", "gzip, br, zstd, deflate"} {
				resp, got := do(t, "GET", edge+"/projects/7", "Cookie", "user="+control, "Accept-Encoding", to)
				s.wait()
				if decoded(t, resp, got) != page {
					t.Fatalf("%s from %q to %q: control's page is not the origin's", name, from, to)
				}
				s.mu.Lock()
				proof := s.exchanges[len(s.exchanges)-1].Proof
				s.mu.Unlock()
				if proof == nil || !proof.Holds() || proof.Received != sha256.Sum256([]byte(page)) || proof.SentBytes != int64(len(page)) {
					t.Errorf("%s from %q to %q: %+v", name, from, to, proof)
				}
			}
			do(t, "GET", edge+"/projects/7", "Cookie", "user="+treated)
			s.wait()
			if x := s.exchanges[len(s.exchanges)-1]; x.Proof != nil {
				t.Errorf("%s from %q: a treated page is proved", name, from)
			}
		}
	}
}

// A rewriter that changes control's page is found: here it has treatment's
// program.
func TestControlIsDisproved(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage, "Content-Type", "text/html"))
	p.Prove = func(rules.Decision, time.Time) bool { return true }
	set := p.Current()
	rule := set.Rule("invite-teammate")
	wrong, err := rewrite.Compile(rewrite.Plan{Attribute: set.Edge.Attribute, Surfaces: []rewrite.Surface{rule.Change(rules.Treatment)}})
	if err != nil {
		t.Fatal(err)
	}
	key := programKey(nil, rules.Decision{{Rule: rule, Arm: rules.Control}})
	p.keep(set.Revision, string(key), &program{wrong, "mark"})
	_, body := do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", rules.Control))
	s.wait()
	if body == cardPage {
		t.Fatal("the page is not changed: this test tests nothing")
	}
	proof := s.exchanges[0].Proof
	if proof == nil || proof.Holds() || proof.Received != sha256.Sum256([]byte(cardPage)) || proof.Sent != sha256.Sum256([]byte(body)) {
		t.Errorf("%+v", proof)
	}
}

func TestWronglyChanged(t *testing.T) {
	before := http.Header{
		"Content-Type": {"text/html"}, "Etag": {`"1"`}, "Set-Cookie": {"a=1"}, "Vary": {"Accept"}, "X-App": {"1"}, "Last-Modified": {"then"}, "X-Traits": {"role=admin"},
	}
	after := http.Header{
		"Content-Type": {"text/html"}, "Etag": {`"1-x"`}, "Set-Cookie": {"a=1", "_refract=2"}, "Vary": {"Accept", "Cookie"}, "X-App": {"1"},
		"Cache-Control": {"private, no-cache"},
	}
	traits := []rules.IdentitySource{{Kind: "header", Name: "X-Traits"}}
	if got := wronglyChanged(before, after, traits); got != nil {
		t.Errorf("what may be changed: %q", got)
	}
	after["Content-Type"], after["X-New"], after["Set-Cookie"] = []string{"text/plain"}, []string{"1"}, []string{"_refract=2", "a=1"}
	delete(after, "X-App")
	if got, want := wronglyChanged(before, after, nil), []string{"Content-Type", "Set-Cookie", "X-App", "X-New", "X-Traits"}; !slices.Equal(got, want) {
		t.Errorf("changed are %q, want %q", got, want)
	}
}
