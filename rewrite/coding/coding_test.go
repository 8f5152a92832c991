package coding

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		lines string // separated by |
		want  string // empty: ErrUnsupported
	}{
		{"", "identity"},
		{" , ", "identity"},
		{"identity", "identity"},
		{"gzip", "gzip"},
		{"GZip", "gzip"},
		{"x-gzip", "gzip"},
		{" br ", "br"},
		{"zstd", "zstd"},
		{"Deflate", "deflate"},
		{"gzip, identity", "gzip"},
		{"identity|gzip", "gzip"},
		{"gzip, br", ""},
		{"gzip, gzip", ""},
		{"br|zstd", ""},
		{"compress", ""},
		{"dcb", ""},
		{"gzip;q=1", ""},
		{"aws-chunked, gzip", ""},
	} {
		got, err := Of(strings.Split(c.lines, "|"))
		if c.want == "" {
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%q is %v, %v", c.lines, got, err)
			}
		} else if err != nil || got.String() != c.want {
			t.Errorf("%q is %v, %v; want %s", c.lines, got, err, c.want)
		}
	}
	if got, err := Of(nil); got != Identity || err != nil {
		t.Errorf("no header is %v, %v", got, err)
	}
}

func TestAccept(t *testing.T) {
	// answers are what is answered where the origin's coding is identity, gzip,
	// br, zstd, deflate.
	for _, c := range []struct {
		client, ask, answers string
	}{
		{"gzip, deflate, br, zstd", "gzip, deflate, br, zstd", "identity gzip br zstd deflate"},
		{"gzip, deflate, br, zstd, dcb, dcz", "gzip, deflate, br, zstd", "identity gzip br zstd deflate"},
		{"gzip", "gzip", "identity gzip gzip gzip gzip"},
		{"x-gzip;q=0.5", "x-gzip;q=0.5", "identity gzip gzip gzip gzip"},
		{"br;q=0.5 , GZIP ; Q=0.8", "br;q=0.5, GZIP ; Q=0.8", "identity gzip br gzip gzip"},
		{"", "identity", "identity identity identity identity identity"},
		{"identity", "identity", "identity identity identity identity identity"},
		{"compress", "identity", "identity identity identity identity identity"},
		{"gzip;q=0", "identity", "identity identity identity identity identity"},
		{"gzip;q=0, br", "br", "identity br br br br"},
		{"*", "gzip, br, zstd, deflate", "identity gzip br zstd deflate"},
		{"*;q=0.1, gzip;q=0", "br;q=0.1, zstd;q=0.1, deflate;q=0.1", "identity zstd br zstd deflate"},
		{"gzip, *;q=0", "gzip", "gzip gzip gzip gzip gzip"},
		{"gzip, identity;q=0", "gzip", "gzip gzip gzip gzip gzip"},
		{"identity;q=0.5, gzip;q=0.2, *;q=0", "identity;q=0.5, gzip;q=0.2", "identity gzip identity identity identity"},
		{"gzip;q=1.0, identity; q=0.5, *;q=0", "gzip;q=1.0, identity; q=0.5", "identity gzip gzip gzip gzip"},
		// Nothing that we could do is acceptable: as without us.
		{"compress, identity;q=0", "compress, identity;q=0", "identity gzip br zstd deflate"},
		{"*;q=0", "*;q=0", "identity gzip br zstd deflate"},
		// The first one counts, and what is no weight is none.
		{"gzip;q=0, gzip", "identity", "identity identity identity identity identity"},
		{"gzip;q=2, br;q=x, zstd;q=0.1234, deflate;v=1", "identity", "identity identity identity identity identity"},
		{"gzip;q=1.001, br;q=0.001", "br;q=0.001", "identity br br br br"},
		{"gzip|br", "gzip, br", "identity gzip br br br"},
	} {
		a := Accept(strings.Split(c.client, "|"))
		if ask := strings.Join(a.Ask(), "|"); ask != c.ask {
			t.Errorf("%q: the origin is asked for %q, want %q", c.client, ask, c.ask)
		}
		var answers []string
		for origin := range codings {
			answers = append(answers, a.Answer(origin).String())
		}
		if got := strings.Join(answers, " "); got != c.answers {
			t.Errorf("%q is answered in %q, want %q", c.client, got, c.answers)
		}
	}
	a := Accept(nil)
	if a.Ask() != nil {
		t.Errorf("without a header the origin is asked for %q", a.Ask())
	}
	for origin := range codings {
		if a.Answer(origin) != origin {
			t.Errorf("without a header %v becomes %v", origin, a.Answer(origin))
		}
	}
}

var aroundSeparator = regexp.MustCompile(`[ \t]*(^|$|[,;])[ \t]*`)

// FuzzAccept: what the origin is asked for is something that the client named,
// or *, or identity; and the answer is in nothing that it refused by name.
func FuzzAccept(f *testing.F) {
	f.Add("gzip, deflate, br, zstd")
	f.Add("gzip;q=0.5, *;q=0, identity;q=0")
	f.Add(" ;q=,,*;q=1.000")
	f.Fuzz(func(t *testing.T, header string) {
		a := Accept([]string{header})
		for _, line := range a.Ask() {
			for member := range strings.SplitSeq(line, ",") {
				name, _, _ := strings.Cut(strings.ToLower(member), ";")
				if name = strings.Trim(name, " \t"); !strings.Contains(strings.ToLower(header), name) && !strings.Contains(header, "*") && name != "identity" {
					t.Errorf("%q: the origin is asked for %q", header, line)
				}
			}
		}
		members := strings.Split(aroundSeparator.ReplaceAllString(strings.ToLower(header), "$1"), ",")
		possible := slices.ContainsFunc(a.weights[:], func(weight int) bool { return weight > 0 })
		for origin := range codings {
			refused := slices.IndexFunc(members, func(m string) bool { return m == a.Answer(origin).String()+";q=0" })
			allowed := slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, a.Answer(origin).String()) })
			if possible && refused >= 0 && refused == allowed {
				t.Errorf("%q is answered in %v", header, a.Answer(origin))
			}
		}
	})
}
