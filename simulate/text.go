package simulate

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Notes say what a report takes for granted.
func (r *Report) Notes() []string {
	return []string{
		"An event counts from when it happened, as if it had arrived then, and nothing is known from before the first one: a segment that looks back 30 days is right from the 31st day on.",
		"Flips: members who entered or left again less than 24 hours after they last had. More than 1 in 10 is too unsteady to drive a page.",
		"Stay: half of the stays are longer; those that go on at the end count as longer. Exact to 3 %.",
		"Events do not say which pages were seen. Whoever did something while they were a member is taken to have reached the rule's surface then; if its pages are visited less often, a test takes longer in proportion.",
		"A test's days: until so many units have reached the surface, counted from the history's beginning, and the last one's window is over. Past the history's end they come as they did in its second half. Power 80 %, by the interval at any look that verdicts use.",
	}
}

// WriteText writes the report as tables. days adds those of each day.
func (r *Report) WriteText(w io.Writer, days bool) error {
	out := &errWriter{w: w}
	fmt.Fprintf(out, "history   %s to %s UTC, %s\n", minute(r.From), minute(r.Until), plural(len(r.days()), "day"))
	fmt.Fprintf(out, "events    %d (%s), %d repeated\n", r.Events, r.formsText(), r.Repeated)
	if r.Bad > 0 {
		fmt.Fprintf(out, "bad lines %d\n", r.Bad)
		for _, b := range r.BadLines {
			fmt.Fprintf(out, "          %s\n", b)
		}
		if n := r.Bad - int64(len(r.BadLines)); n > 0 {
			fmt.Fprintf(out, "          and %d more\n", n)
		}
	}
	fmt.Fprintf(out, "visitors  %d, %s merged into them\n", r.Visitors, plural(int(r.Merged), "id"))
	if r.Accounts > 0 {
		fmt.Fprintf(out, "accounts  %d\n", r.Accounts)
	}
	r.writeSegments(out)
	if days {
		r.writeDays(out)
	}
	r.writeOverlaps(out)
	r.writeRules(out)
	fmt.Fprintln(out)
	for _, n := range r.Notes() {
		fmt.Fprintf(out, "%s\n", wrap(n, 100))
	}
	return out.err
}

func (r *Report) writeSegments(w io.Writer) {
	if len(r.Segments) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w)
	fmt.Fprintln(t, "SEGMENT\tWHO\tEVER\tOF ALL\tAT END\tIN/DAY\tOUT/DAY\tFLIPS\tSTAY\tMEMBERS BY DAY")
	for _, s := range r.Segments {
		n := float64(max(1, len(s.Days)))
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", s.Name, s.Who, s.Ever, percent(s.Share), s.Members,
			number(float64(s.Entries)/n), number(float64(s.Exits)/n), s.flipText(), s.stayText(), spark(s.Days, 40))
	}
	t.Flush()
}

func (r *Report) writeDays(w io.Writer) {
	for _, s := range r.Segments {
		fmt.Fprintf(w, "\n%s by day\n", s.Name)
		t := newTable(w)
		fmt.Fprintln(t, "DAY\tMEMBERS\tIN\tOUT")
		for _, d := range s.Days {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\n", d.Day, d.Members, d.Entries, d.Exits)
		}
		t.Flush()
	}
}

func (r *Report) writeOverlaps(w io.Writer) {
	for _, o := range r.Overlaps {
		fmt.Fprintf(w, "\n%ss in both segments at one time\n", o.Who)
		t := newTable(w)
		for i := range o.Segments {
			fmt.Fprintf(t, "\t%d", i+1)
		}
		fmt.Fprintln(t)
		for i, name := range o.Segments {
			fmt.Fprintf(t, "%d %s", i+1, name)
			for j, n := range o.Units[i] {
				if i == j {
					fmt.Fprint(t, "\t·")
				} else {
					fmt.Fprintf(t, "\t%d", n)
				}
			}
			fmt.Fprintln(t)
		}
		t.Flush()
	}
}

func (r *Report) writeRules(w io.Writer) {
	if len(r.Rules) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w)
	fmt.Fprint(t, "RULE\tSTATE\tUNIT\tREACHED\tA DAY\tMETRIC\tGUARDRAIL")
	for _, c := range changes {
		fmt.Fprintf(t, "\tFINDS %.0f %%", 100*c)
	}
	fmt.Fprintln(t)
	for _, rule := range r.Rules {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s", rule.Name, rule.State, rule.Unit, rule.Reached, number(rule.PerDay), rule.Metric.text(), rule.Harm.text())
		for _, test := range rule.Tests {
			fmt.Fprintf(t, "\t%s", test.text())
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

func (r *Report) days() []Day {
	if len(r.Segments) == 0 {
		return make([]Day, r.Until.Unix()/86400-r.From.Unix()/86400+1)
	}
	return r.Segments[0].Days
}

func (r *Report) formsText() string {
	var all []string
	for _, f := range Forms() {
		if n := r.Forms[f]; n > 0 {
			all = append(all, fmt.Sprintf("%s %d", f, n))
		}
	}
	return strings.Join(all, ", ")
}

// Unsteady says whether too many members flip within a day.
func (s *Segment) Unsteady() bool { return s.FlipRate > FlipLimit }

func (s *Segment) flipText() string {
	if s.Unsteady() {
		return percent(s.FlipRate) + " !"
	}
	return percent(s.FlipRate)
}

func (s *Segment) stayText() string {
	switch {
	case s.MedianStay != nil:
		return duration(time.Duration(*s.MedianStay * float64(time.Second)))
	case s.Ever > 0:
		return "longer"
	}
	return "-"
}

func (b Base) text() string {
	if b.Of == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%s of %d", percent(b.Rate), b.Of)
}

func (t Test) text() string {
	switch {
	case t.Units == nil:
		return "-"
	case t.Days == nil:
		return "never"
	}
	return number(math.Ceil(*t.Days)) + " d"
}

func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func minute(t time.Time) string { return t.Format("2006-01-02 15:04") }

func percent(x float64) string {
	if x > 0 && x < .0095 {
		return fmt.Sprintf("%.2g %%", 100*x)
	}
	return fmt.Sprintf("%.1f %%", 100*x)
}

// number writes three digits of a number that is not whole.
func number(x float64) string {
	switch {
	case x == math.Trunc(x), x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// duration writes the two largest units of a duration.
func duration(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	d = d.Round(time.Second)
	var parts []string
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / u.of; n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprintf("%d%s", n, u.name))
			d -= n * u.of
		} else if len(parts) > 0 {
			break
		}
	}
	return strings.Join(parts, " ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// spark draws the members of each day with a character, or of each few days if
// there are more days than characters.
func spark(days []Day, width int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	top := slices.MaxFunc(days, func(a, b Day) int { return int(a.Members - b.Members) }).Members
	var b strings.Builder
	n := min(width, len(days))
	for i := range n {
		d := days[(i+1)*len(days)/n-1]
		if d.Members == 0 || top == 0 {
			b.WriteRune('·')
			continue
		}
		b.WriteRune(levels[int(d.Members-1)*len(levels)/int(top)])
	}
	return b.String()
}

// wrap breaks a text into lines, the first marked with a dash.
func wrap(text string, width int) string {
	var lines []string
	line := "-"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = " "
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}

// errWriter remembers the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	var n int
	n, e.err = e.w.Write(p)
	return n, e.err
}
