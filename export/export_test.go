package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/seed14307185/refract/export"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// rows are rows of every sort, with ids as a visitor may choose them.
func rows(n int) []export.Outcome {
	ids := []string{"ann", `=HYPERLINK("http://evil")`, "+1", "-2", "@sum", "\tx", "'quoted", "with,comma\r\nand \"line\"", "é\u2028", ""}
	run := &store.Run{ID: 3, Rule: "invite-teammate", Version: "0123456789ab"}
	all := make([]export.Outcome, n)
	for i := range all {
		u := segments.Unit{Who: segments.Visitor, ID: ids[i%len(ids)]}
		if i >= len(ids) {
			u.ID += fmt.Sprint(i)
		}
		e := outcomes.Enrolment{Arm: rules.Control, Treatment: 1. / 3, At: 1_770_000_000_000 + int64(i), MetricClosed: i%2 == 0, Late: i%5 == 0,
			Browser: []rules.Browser{"", rules.Safari, rules.App}[i%3]}
		if i%3 == 0 {
			e.Arm, e.Converted, e.Sum, e.Moved = rules.Treatment, e.At+1234, 19_990_000, i%4 == 0
		}
		if i%7 == 0 {
			u.Who, e.Harmed, e.GuardrailClosed = segments.Account, e.At+1, true
		}
		all[i] = export.Of(run, u, &e)
	}
	return all
}

func written(t testing.TB, w io.Writer, kind, format string, rows []export.Outcome) {
	t.Helper()
	out, err := export.NewWriter(w, kind, format)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := out.Write(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each form, read by somebody else's reader, has the rows that were written.
func TestFormsSayTheSame(t *testing.T) {
	want := rows(1100)
	var b bytes.Buffer

	written(t, &b, "outcomes", "parquet", want)
	got, err := parquet.Read[export.Outcome](bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "parquet", got, want)
	file, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range file.Schema().Fields() {
		names = append(names, f.Name())
	}

	b.Reset()
	written(t, &b, "outcomes", "jsonl", want)
	got = nil
	for dec := json.NewDecoder(&b); dec.More(); {
		var o export.Outcome
		if err := dec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	same(t, "jsonl", got, want)

	b.Reset()
	written(t, &b, "outcomes", "csv", want)
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(lines[0], " ") != strings.Join(names, " ") {
		t.Errorf("CSV has the columns %q, Parquet %q", lines[0], names)
	}
	got = nil
	for _, line := range lines[1:] {
		got = append(got, read(t, lines[0], line))
	}
	same(t, "csv", got, want)

	b.Reset()
	written(t, &b, "exposures", "csv", want[:1])
	if head, _ := b.ReadString('\n'); !strings.HasPrefix(strings.Join(lines[0], ","), strings.TrimSpace(head)) || strings.Contains(head, "converted") {
		t.Errorf("the columns of exposures are %s", head)
	}
}

// read reads a line of CSV by the rule of the document: an apostrophe that a text
// begins with is taken off.
func read(t *testing.T, names, line []string) export.Outcome {
	t.Helper()
	object := map[string]any{}
	for i, cell := range line {
		name := names[i]
		switch {
		case strings.HasSuffix(name, "_id") || name == "rule" || name == "version":
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Fatalf("a cell begins with %q", cell)
			}
			object[name] = strings.TrimPrefix(cell, "'")
		case strings.HasSuffix(name, "_at") && cell == "":
		case strings.HasSuffix(name, "_at") || name == "arm" || name == "unit_kind" || name == "browser":
			object[name] = cell
		default:
			object[name] = json.RawMessage(cell)
		}
	}
	b, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var o export.Outcome
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		t.Fatal(err)
	}
	return o
}

func same(t *testing.T, form string, got, want []export.Outcome) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", form, len(got), len(want))
	}
	utc := func(at *time.Time) *time.Time {
		if at == nil {
			return nil
		}
		u := at.UTC()
		return &u
	}
	for i := range got {
		g, w := got[i], want[i]
		g.ExposedAt, g.ConvertedAt, g.HarmedAt = g.ExposedAt.UTC(), utc(g.ConvertedAt), utc(g.HarmedAt)
		if form == "csv" { // its standard makes one line end of the two
			w.UnitID = strings.ReplaceAll(w.UnitID, "\r\n", "\n")
		}
		if !reflect.DeepEqual(g, w) {
			t.Fatalf("%s: row %d is %+v, want %+v", form, i, g, w)
		}
	}
}

func TestWhatCannotBeExported(t *testing.T) {
	for _, of := range [][2]string{{"events", "csv"}, {"outcomes", "xml"}, {"", ""}} {
		if _, err := export.NewWriter(io.Discard, of[0], of[1]); err == nil || !strings.Contains(err.Error(), "hint: ") {
			t.Errorf("%q: %v", of, err)
		}
	}
}
