package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Ramp is where a rule is in its ramp.
type Ramp struct {
	store.Stage
	Of int `json:"of"` // how many steps there are
	// Next is the step that comes, From the earliest time for it; none: it is at
	// the last one, not live, or off.
	Next  *NextStep `json:"next,omitempty"`
	From  time.Time `json:"from,omitzero"`
	Waits []string  `json:"waits,omitempty"` // what keeps it from that, now
}

// NextStep is who takes part in the next step of a ramp, as in a store.Stage.
type NextStep struct {
	Share     float64 `json:"share"`
	Treatment float64 `json:"treatment"`
}

func newRamp(r *rules.Rule, s *store.Standing, now time.Time) *Ramp {
	steps := r.Rollout.Steps()
	if len(steps) < 2 || s.Run.Stage.Step == 0 {
		return nil
	}
	ramp := &Ramp{Stage: s.Run.Stage, Of: len(steps)}
	if next, from, ok := s.Next(r); ok {
		ramp.Next, ramp.From, ramp.Waits = &NextStep{next.Share, next.Treatment}, from, s.Awaits(r, now)
	}
	return ramp
}

// String words it: "step 2 of 4 (20 %) since …; next 50 %, not before …: the
// guardrail is undecided".
func (p *Ramp) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d of %d (%.4g %%)", p.Step, p.Of, 100*p.Share)
	if !p.Since.IsZero() {
		b.WriteString(" since " + p.Since.UTC().Format(time.RFC3339))
	}
	switch {
	case p.Next == nil && p.Step == p.Of:
		b.WriteString("; there is no further one")
	case p.Next == nil:
		b.WriteString("; the rule is not live, or off")
	default:
		fmt.Fprintf(&b, "; next (%.4g %%) when the guardrail is cleared, not before %s", 100*p.Next.Share, p.From.UTC().Format(time.RFC3339))
		if len(p.Waits) > 0 {
			b.WriteString(": held, since " + strings.Join(p.Waits, ", "))
		}
	}
	return b.String()
}
