package simulate

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestForms takes a line of each kind of each form for what it says, whether
// the form is told or not. What is wrong with a line stands in the golden file
// too.
func TestForms(t *testing.T) {
	visitor := segments.Segment{Name: "a", Who: segments.Visitor, Condition: segments.All{
		segments.Trait{Match: []segments.Match{{Key: "plan", Test: segments.Test{Op: segments.Is, Values: []any{"trial"}}}}},
		segments.Did{Event: "Report Viewed", Where: []segments.Match{{Key: "code", Test: segments.Test{Op: segments.Is, Values: []any{"E1"}}}}},
		segments.Did{Event: "Page Viewed", Where: []segments.Match{{Key: "name", Test: segments.Test{Op: segments.Exists, Values: []any{true}}}, {Key: "category", Test: segments.Test{Op: segments.Exists, Values: []any{true}}}}},
		segments.Did{Event: "Screen Viewed", Where: []segments.Match{{Key: "name", Test: segments.Test{Op: segments.Exists, Values: []any{true}}}}},
	}}
	account := segments.Segment{Name: "b", Who: segments.Account, Condition: segments.Did{Event: "Page Viewed"}}
	p, err := newPlan(&rules.Set{Segments: []segments.Segment{visitor, account}}, "company", time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range Forms() {
		t.Run(form, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/forms/" + form + ".jsonl")
			if err != nil {
				t.Fatal(err)
			}
			got := statements(t, p, raw, "", form)
			golden := "testdata/forms/" + form + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if form != "refract" { // a line that is no event at all is told otherwise there
				if told := statements(t, p, raw, form, form); told != got {
					t.Errorf("with the form told:\n%s\nwithout:\n%s", told, got)
				}
			}
		})
	}
}

// statements writes what lines say. Each must be of the form, if of any.
func statements(t *testing.T, p *plan, raw []byte, told, want string) string {
	var out strings.Builder
	pick := newPicker()
	var f *former
	f = newFormer(p, func(s *statement) error {
		asked := p.traits
		if s.kind == track {
			asked = p.heard[p.names[string(s.name)]].asked
		}
		payload, err := pick.from(f, "properties", s.payload, asked)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "  %-8s %q id=%s visitor=%s other=%s account=%s %s %s\n", s.kind.event(), s.name, s.id, s.visitor, s.other, s.accounts,
			time.UnixMilli(s.at).UTC().Format("2006-01-02T15:04:05.000Z"), payload)
		return nil
	})
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		fmt.Fprintf(&out, "%d\n", n)
		form, err := f.read(bytes.TrimSuffix(line, []byte("\n")), told)
		var bad *fault
		switch {
		case errors.As(err, &bad):
			fmt.Fprintf(&out, "  column %d: %s\n", bad.at+1, bad.what)
		case err != nil:
			t.Fatal(err)
		}
		if form != want && form != "" {
			t.Errorf("line %d is taken for %s", n, form)
		}
	}
	return out.String()
}
