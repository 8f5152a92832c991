package rules

import (
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/approvals"
	"github.com/seed14307185/refract/segments"
)

// FuzzFile: no content of a file stops a load other than by problems with a
// place in it, and what is read without any can be compiled.
func FuzzFile(f *testing.F) {
	for _, name := range []string{"refract.yaml", "segments/created-without-teammate.yaml", "surfaces/project-home.card.yaml", "rules/invite-teammate.yaml"} {
		b, err := os.ReadFile("starter/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{
		"all: [{did: A, times: '>= 3', in_last: 7d}, {not: {trait: {a: {gte: 1}}}}]", "did: A\nwithout: B\nwithin: 1h", "a: &a [*a]", "? {a: b}\n: c", "<<: {a: b}",
		"any:\n- repeats: A\n  same: s\n  times: '> 2'\n  in_last: 1w", "{}", "[]", "~", "- - -", "did: !!binary x", "response: {text: }", "origin: ''", "admin: ", "rollout: {treatment: 1}",
		"response: {attr: {href: /a, disabled: null, Title: ''}}", "response: {shadow: a.html, slot: true}", "response: {remove: true}", "select: 'main > .a:nth-child(2n+1)'", "select: \"a[b=\\\"c\\\"]:x\"",
	} {
		f.Add([]byte(s))
	}
	signer := person(f, "ada", false)
	approvers := []approver{{id: signer.id, keys: []approvals.Key{signer.key}}}
	signed := approvals.Statement{By: signer.id, Content: "x", At: time.Unix(2e9, 0)}
	f.Add([]byte("- {by: " + signer.id + ", content: x, at: 2033-05-18T03:33:20Z, signature: " + strconv.Quote(signer.sign(f, signed)) + "}"))
	f.Add([]byte("approvers: {a: {keys: ['" + signer.line + "', 'ed25519:AAAA'], groups: [b], until: 2036-01-01, revoked: false}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if notText(data) >= 0 || len(data) > 10_000 || strings.Contains(string(data), "env:") {
			return
		}
		var refs []reference // what is not resolved does not compile
		known := &parts{segments: map[string]*segments.Segment{}, surfaces: map[string]*Surface{}, responses: map[string][]byte{}, shown: map[string]bool{}}
		for _, read := range []func(v value) segments.Condition{
			func(v value) segments.Condition { readEdge(v); return nil },
			func(v value) segments.Condition { refs = nil; return readSegment("x", v, &refs).Condition },
			func(v value) segments.Condition { readSurface("x", v, Policy{}); return nil },
			func(v value) segments.Condition { readRule("x", v, known); return nil },
			func(v value) segments.Condition { readApprovers(v); return nil },
			func(v value) segments.Condition { claims{rule: &Rule{}, approvers: approvers}.read(v); return nil },
		} {
			d := &directory{}
			v, ok := d.parse(file{path: "x.yaml", name: "x", data: data})
			if ok == (len(d.problems) > 0) {
				t.Fatalf("parse: %v with %v", ok, d.problems)
			}
			if !ok {
				continue
			}
			c := read(v)
			lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 1
			for _, p := range d.problems {
				if p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" || strings.Contains(p.Message, "%!") && !strings.Contains(string(data), "%") {
					t.Fatalf("%#v", p)
				}
			}
			if len(d.problems) == 0 && c != nil && len(refs) == 0 {
				if _, err := segments.Compile([]segments.Segment{{Name: "x", Who: segments.Visitor, Condition: c}}, DefaultLate); err != nil && !strings.Contains(string(data), "account") {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0s": 0, "30s": 30 * time.Second, "15m": 15 * time.Minute, "48h": 48 * time.Hour, "7d": 168 * time.Hour, "2w": 336 * time.Hour, "3650d": MaxDuration,
	} {
		if d, err := ParseDuration(s); d != want || err != nil {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "7", "d", "-7d", "+7d", "7 d", "1.5h", "1h30m", "7D", "7d ", "3651d", "522w", "999999999999w", "9999999999999999d", "７d"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("%q is taken for %v", s, d)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 90 * time.Second: "90 seconds", time.Minute: "1 minute", time.Hour: "1 hour", 90 * time.Minute: "90 minutes",
		24 * time.Hour: "24 hours", 48 * time.Hour: "48 hours", 49 * time.Hour: "49 hours", 72 * time.Hour: "3 days", 14 * 24 * time.Hour: "14 days",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestParseFraction(t *testing.T) {
	for s, want := range map[string]float64{"10%": 0.1, "0.1": 0.1, "100%": 1, "1": 1, "0": 0, "0%": 0, "2.5%": 0.025, "7 %": 0.07, "1e-3": 0.001, "-1%": -0.01} {
		if f, err := parseFraction(s); math.Abs(f-want) > 1e-15 || err != nil {
			t.Errorf("%s: %v, %v", s, f, err)
		}
	}
	for _, s := range []string{"", "%", "ten", "10%%", "10 percent", ".5", "0x1", "NaN", "inf", "1_0", "5.%"} {
		if f, err := parseFraction(s); err == nil {
			t.Errorf("%q is taken for %v", s, f)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "4096": 4096, "16KiB": 16384, "20GiB": 20 << 30, "1 MB": 1e6, "3TiB": 3 << 40, "7B": 7} {
		if n, err := parseSize(s); n != want || err != nil {
			t.Errorf("%s: %v, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "GiB", "-1", "1.5GiB", "1gib", "1G", "999999999999999TiB"} {
		if n, err := parseSize(s); err == nil {
			t.Errorf("%q is taken for %v", s, n)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"origin", "listen", "max_bytes", "did", "did_not"}
	for word, want := range map[string]string{
		"orgin": "origin", "Origin": "origin", "maxBytes": "max_bytes", "max-bytes": "max_bytes", "lisetn": "listen", "didnot": "did_not", "dod": "did",
		"x": "", "something": "", "origins": "origin",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
