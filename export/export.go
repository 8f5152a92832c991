// Package export writes the units that were exposed, and what they did, as files
// that a warehouse reads: CSV, JSON lines and Parquet. Whoever has the rows of a
// run can do its analysis again: they add up to the run's tally.
package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// Exposure is a row of what is exported as exposures: a unit that was exposed in
// a run of a rule.
type Exposure struct {
	Rule      string    `json:"rule" parquet:"rule,dict"`
	Version   string    `json:"version" parquet:"version,dict"`
	Run       int64     `json:"run" parquet:"run"`
	UnitKind  string    `json:"unit_kind" parquet:"unit_kind,dict"` // visitor or account
	UnitID    string    `json:"unit_id" parquet:"unit_id"`
	Arm       string    `json:"arm" parquet:"arm,dict"`                                 // treatment or control
	Treatment float64   `json:"treatment_probability" parquet:"treatment_probability"`  // at the first exposure: the epoch
	ExposedAt time.Time `json:"exposed_at" parquet:"exposed_at,timestamp(millisecond)"` // for the first time
	Moved     bool      `json:"moved" parquet:"moved"`                                  // was put in the other arm later
	Mixed     bool      `json:"mixed" parquet:"mixed"`                                  // saw both arms, is in neither's counts
	Browser   string    `json:"browser" parquet:"browser,dict"`                         // a rules.Browser; empty: not known
}

// Outcome is a row of what is exported as outcomes: an exposure with what became
// of the unit. Outcomes of a mixed unit are not kept.
type Outcome struct {
	Exposure
	ConvertedAt     *time.Time `json:"converted_at" parquet:"converted_at,optional,timestamp(millisecond)"` // for the first time, within the window
	HarmedAt        *time.Time `json:"harmed_at" parquet:"harmed_at,optional,timestamp(millisecond)"`
	MetricClosed    bool       `json:"metric_closed" parquet:"metric_closed"` // its window is over
	GuardrailClosed bool       `json:"guardrail_closed" parquet:"guardrail_closed"`
	Sum             int64      `json:"sum" parquet:"sum"` // see outcomes.Enrolment, as of the rest
	Per             int64      `json:"per" parquet:"per"`
	Early           bool       `json:"early" parquet:"early"`
	Late            bool       `json:"late" parquet:"late"`
	Dropped         bool       `json:"dropped" parquet:"dropped"`
	NoValue         bool       `json:"no_value" parquet:"no_value"`
	NotNumber       bool       `json:"not_number" parquet:"not_number"`
	Negative        bool       `json:"negative" parquet:"negative"`
}

// Of returns the row of a unit in a run.
func Of(run *store.Run, u segments.Unit, n *outcomes.Enrolment) Outcome {
	return Outcome{
		Exposure: Exposure{
			Rule: run.Rule, Version: run.Version, Run: int64(run.ID), UnitKind: string(u.Who), UnitID: u.ID,
			Arm: string(n.Arm), Treatment: n.Treatment, ExposedAt: time.UnixMilli(n.At).UTC(), Moved: n.Moved, Mixed: n.Mixed, Browser: string(n.Browser),
		},
		ConvertedAt: instant(n.Converted), HarmedAt: instant(n.Harmed), MetricClosed: n.MetricClosed, GuardrailClosed: n.GuardrailClosed,
		Sum: n.Sum, Per: n.Per, Early: n.Early, Late: n.Late, Dropped: n.Dropped,
		NoValue: n.NoValue, NotNumber: n.NotNumber, Negative: n.Negative,
	}
}

// instant is a time in Unix milliseconds, nil: none.
func instant(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}

// Kinds are what can be exported, Formats how.
var (
	Kinds   = [...]string{"exposures", "outcomes"}
	Formats = [...]string{"csv", "jsonl", "parquet"}
)

// Writer writes rows. What was written is whole only after Close. It holds a
// bounded part of them in memory: of Parquet, groupRows rows.
type Writer struct {
	buffer *bufio.Writer // nil: Parquet has its own
	write  func(*Outcome) error
	flush  func() error
}

// groupRows is how many rows a row group of a Parquet file has: the writer holds
// these in memory, and a reader too.
const groupRows = 32 << 10

// NewWriter returns a writer of a kind and a format, each one of those that are
// listed.
func NewWriter(w io.Writer, kind, format string) (*Writer, error) {
	exposures := kind == "exposures"
	if !exposures && kind != "outcomes" {
		return nil, fmt.Errorf("found %q\nhint: %s can be exported", kind, strings.Join(Kinds[:], " and "))
	}
	buffered := bufio.NewWriterSize(w, 64<<10)
	switch format {
	case "csv":
		lines := csv.NewWriter(buffered)
		out := &Writer{buffer: buffered, flush: func() error { lines.Flush(); return lines.Error() }}
		out.write = func(o *Outcome) error { return lines.Write(cells(o, exposures)) }
		return out, lines.Write(header(exposures))
	case "jsonl":
		lines := json.NewEncoder(buffered)
		lines.SetEscapeHTML(false)
		out := &Writer{buffer: buffered, flush: func() error { return nil }}
		out.write = func(o *Outcome) error {
			if exposures {
				return lines.Encode(&o.Exposure)
			}
			return lines.Encode(o)
		}
		return out, nil
	case "parquet":
		if exposures {
			return parquetWriter(w, func(o *Outcome) Exposure { return o.Exposure }), nil
		}
		return parquetWriter(w, func(o *Outcome) Outcome { return *o }), nil
	}
	return nil, fmt.Errorf("found format %q\nhint: it is one of %s", format, strings.Join(Formats[:], ", "))
}

func parquetWriter[row any](w io.Writer, of func(*Outcome) row) *Writer {
	file := parquet.NewGenericWriter[row](w, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(groupRows))
	var batch []row
	flush := func() error {
		_, err := file.Write(batch)
		batch = batch[:0]
		return err
	}
	return &Writer{
		write: func(o *Outcome) error {
			if batch = append(batch, of(o)); len(batch) < 1024 {
				return nil
			}
			return flush()
		},
		flush: func() error {
			if err := flush(); err != nil {
				return err
			}
			return file.Close()
		},
	}
}

// Write adds a row.
func (w *Writer) Write(o *Outcome) error { return w.write(o) }

// Close ends the file. It does not close what it is written to.
func (w *Writer) Close() error {
	if err := w.flush(); err != nil || w.buffer == nil {
		return err
	}
	return w.buffer.Flush()
}

// column is a column of the CSV form. The first exposureColumns are an
// exposure's.
type column struct {
	name string
	of   func(*Outcome) string
}

const exposureColumns = 11

var columns = [...]column{
	{"rule", func(o *Outcome) string { return inert(o.Rule) }},
	{"version", func(o *Outcome) string { return inert(o.Version) }},
	{"run", func(o *Outcome) string { return strconv.FormatInt(o.Run, 10) }},
	{"unit_kind", func(o *Outcome) string { return o.UnitKind }},
	{"unit_id", func(o *Outcome) string { return inert(o.UnitID) }},
	{"arm", func(o *Outcome) string { return o.Arm }},
	{"treatment_probability", func(o *Outcome) string { return strconv.FormatFloat(o.Treatment, 'g', -1, 64) }},
	{"exposed_at", func(o *Outcome) string { return stamp(&o.ExposedAt) }},
	{"moved", func(o *Outcome) string { return strconv.FormatBool(o.Moved) }},
	{"mixed", func(o *Outcome) string { return strconv.FormatBool(o.Mixed) }},
	{"browser", func(o *Outcome) string { return o.Browser }},
	{"converted_at", func(o *Outcome) string { return stamp(o.ConvertedAt) }},
	{"harmed_at", func(o *Outcome) string { return stamp(o.HarmedAt) }},
	{"metric_closed", func(o *Outcome) string { return strconv.FormatBool(o.MetricClosed) }},
	{"guardrail_closed", func(o *Outcome) string { return strconv.FormatBool(o.GuardrailClosed) }},
	{"sum", func(o *Outcome) string { return strconv.FormatInt(o.Sum, 10) }},
	{"per", func(o *Outcome) string { return strconv.FormatInt(o.Per, 10) }},
	{"early", func(o *Outcome) string { return strconv.FormatBool(o.Early) }},
	{"late", func(o *Outcome) string { return strconv.FormatBool(o.Late) }},
	{"dropped", func(o *Outcome) string { return strconv.FormatBool(o.Dropped) }},
	{"no_value", func(o *Outcome) string { return strconv.FormatBool(o.NoValue) }},
	{"not_number", func(o *Outcome) string { return strconv.FormatBool(o.NotNumber) }},
	{"negative", func(o *Outcome) string { return strconv.FormatBool(o.Negative) }},
}

func header(exposures bool) []string {
	var names []string
	for _, c := range columnsOf(exposures) {
		names = append(names, c.name)
	}
	return names
}

func cells(o *Outcome, exposures bool) []string {
	all := make([]string, 0, len(columns))
	for _, c := range columnsOf(exposures) {
		all = append(all, c.of(o))
	}
	return all
}

func columnsOf(exposures bool) []column {
	if exposures {
		return columns[:exposureColumns]
	}
	return columns[:]
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format("2006-01-02T15:04:05.000Z07:00")
}

// inert is a text that no spreadsheet takes for a formula: visitors choose their
// ids. One that could be gets an apostrophe before it, and so does one that
// begins with an apostrophe, so that taking off one gives the text back.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n'", rune(s[0])) {
		return "'" + s
	}
	return s
}
