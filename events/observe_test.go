package events_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
)

func status(t testing.TB, s string) events.StatusRange {
	t.Helper()
	r, err := events.ParseStatus(s)
	if err != nil {
		t.Fatal(err)
	}
	if r.String() != s {
		t.Fatalf("ParseStatus(%q).String() = %q", s, r)
	}
	return r
}

func source(t testing.TB, s string) events.Source {
	t.Helper()
	src, err := events.ParseSource(s)
	if err != nil {
		t.Fatal(err)
	}
	if src.String() != s {
		t.Fatalf("ParseSource(%q).String() = %q", s, src)
	}
	return src
}

func TestObservationMatches(t *testing.T) {
	o := events.Observation{
		Event:  "Setup Error",
		Method: "POST",
		Path:   pattern(t, "/setup/*"),
		Status: []events.StatusRange{status(t, "4xx"), status(t, "503")},
	}
	for _, c := range []struct {
		method, path string
		status       int
		want         bool
	}{
		{"POST", "/setup/2", 400, true},
		{"POST", "/setup/2", 499, true},
		{"POST", "/setup/2", 503, true},
		{"POST", "/setup/2", 500, false},
		{"POST", "/setup/2", 399, false},
		{"GET", "/setup/2", 400, false},
		{"post", "/setup/2", 400, false},
		{"POST", "/setup", 400, false},
	} {
		x := events.Exchange{Method: c.method, Path: c.path, Status: c.status}
		if _, got := o.Match(&x); got != c.want {
			t.Errorf("%s %s %d: %v, want %v", c.method, c.path, c.status, got, c.want)
		}
	}
	for _, method := range []string{"", "ANY"} {
		o := events.Observation{Method: method, Path: pattern(t, "/**")}
		if _, ok := o.Match(&events.Exchange{Method: "PURGE", Path: "/x", Status: 599}); !ok {
			t.Errorf("method %q without statuses does not match everything", method)
		}
	}
}

func TestObservationMakesAnEvent(t *testing.T) {
	at := time.Date(2026, 11, 23, 21, 27, 58, 777_888_999, time.FixedZone("", 3600))
	o := events.Observation{
		Event: "Setup Error", Method: "ANY", Path: pattern(t, "/setup/**"),
		Set: map[string]events.Source{"step": source(t, "path.2"), "plan": source(t, "query.plan"), "status": source(t, "status")},
	}
	got, ok := o.Match(&events.Exchange{Method: "PUT", Path: "/setup/caf%C3%A9", RawQuery: "x=1&plan=team+pro%21&plan=b", Status: 422, At: at})
	ms := time.Date(2026, 11, 23, 20, 27, 58, 777_000_000, time.UTC)
	want := events.Event{
		Source: "edge", Kind: events.Track, Name: "Setup Error", Time: ms, Received: ms,
		Properties: events.Properties{"step": "café", "plan": "team pro!", "status": 422.0},
	}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, ok, want)
	}
}

// What a request holds is the visitor's to choose: it is kept only as bounded
// text.
func TestObservationReadsBoundedText(t *testing.T) {
	long := strings.Repeat("x", events.MaxObserved)
	for _, c := range []struct {
		source, path, query string
		want                any // nil: no property
	}{
		{"path.1", "/a/b", "", "a"},
		{"path.2", "/a/b", "", "b"},
		{"path.3", "/a/b", "", nil},
		{"path.2", "/a/", "", nil},
		{"path.1", "/", "", nil},
		{"path.1", "/a%2Fb", "", "a/b"},
		{"path.1", "/a+b", "", "a+b"},
		{"path.1", "/a%00", "", "a%00"},
		{"path.1", "/a%FF", "", "a%FF"},
		{"path.1", "/a%F", "", "a%F"},
		{"path.1", "/a\xff", "", nil},
		{"path.1", "/a\x00", "", nil},
		{"path.1", "/" + long, "", long},
		{"path.1", "/" + long + "x", "", nil},
		{"path.1", "/" + strings.Repeat("%41", events.MaxObserved), "", strings.Repeat("A", events.MaxObserved)},
		{"path.1", "/" + strings.Repeat("%FF", events.MaxObserved), "", nil},
		{"query.q", "/", "q=1", "1"},
		{"query.q", "/", "Q=1", nil},
		{"query.q", "/", "a=0&%71=1&q=2", "1"},
		{"query.q", "/", "%zz=0&q=1", "1"},
		{"query.q", "/", "q", ""},
		{"query.q", "/", "", nil},
		{"query.q", "/", "q=%00", "%00"},
		{"query.q", "/", "q=" + long + "x", nil},
		{"query.a b", "/", "a+b=1", "1"},
	} {
		o := events.Observation{Event: "E", Path: pattern(t, "/**"), Set: map[string]events.Source{"p": source(t, c.source)}}
		e, ok := o.Match(&events.Exchange{Path: c.path, RawQuery: c.query})
		if got := e.Properties["p"]; !ok || got != c.want || (c.want == nil) != (e.Properties == nil) {
			t.Errorf("%s of %.20q ?%.20q = %.20q, want %.20q", c.source, c.path, c.query, got, c.want)
		}
	}
}

func TestParseStatusAndSourceRefuse(t *testing.T) {
	for _, s := range []string{"", "xx", "0xx", "6xx", "2XX", "20x", "99", "600", "+20", "2xxx", "4 4"} {
		if r, err := events.ParseStatus(s); err == nil {
			t.Errorf("ParseStatus(%q) = %v", s, r)
		}
	}
	for _, s := range []string{"", "path", "path.", "path.0", "path.-1", "path.x", "path.999", "query", "query.", "header.X", "Status"} {
		if src, err := events.ParseSource(s); err == nil {
			t.Errorf("ParseSource(%q) = %v", s, src)
		}
	}
}

// mismatches are exchanges that each fail at another test of the observation.
func mismatches(t testing.TB) (*events.Observation, []events.Exchange) {
	o := &events.Observation{
		Event: "E", Method: "POST", Path: pattern(t, "/projects/*/invitations"),
		Status: []events.StatusRange{status(t, "2xx"), status(t, "3xx")},
		Set:    map[string]events.Source{"project": source(t, "path.2")},
	}
	return o, []events.Exchange{
		{Method: "GET", Path: "/projects/7/invitations", Status: 200},
		{Method: "POST", Path: "/projects/7/invitations", Status: 404},
		{Method: "POST", Path: "/projects/7/invitation", Status: 200},
		{Method: "POST", Path: "/projects/7/invitations/8", Status: 200, RawQuery: "a=b"},
	}
}

func TestMismatchDoesNotAllocate(t *testing.T) {
	o, xs := mismatches(t)
	n := testing.AllocsPerRun(100, func() {
		for i := range xs {
			if _, ok := o.Match(&xs[i]); ok {
				t.Fatalf("%+v matches", xs[i])
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObservationMismatch(b *testing.B) {
	o, xs := mismatches(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		o.Match(&xs[i%len(xs)])
	}
}

func BenchmarkObservationMatch(b *testing.B) {
	o, _ := mismatches(b)
	x := events.Exchange{Method: "POST", Path: "/projects/7/invitations", Status: 201, At: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := o.Match(&x); !ok {
			b.Fatal("no match")
		}
	}
}
