package outcomes

// BlindFrom is how many harms have to be expected before their absence says
// that the guardrail is blind: at a rate that is right, it comes about in 1 of
// e^20 rules (Poisson).
const BlindFrom = 20

// maxWatched is how many days of a run are told apart.
const maxWatched = 366

// Watched are units that were first exposed on one day of a run.
type Watched struct {
	Closed int64 `json:"c,omitempty"` // whose guardrail window closed
	Harmed int64 `json:"h,omitempty"`
}

// watch counts a unit in Watched.
func (t *Tally) watch(n *Enrolment, times int64) {
	var one Watched
	if n.GuardrailClosed {
		one.Closed = times
	}
	if n.Harmed != 0 {
		one.Harmed = times
	}
	if one != (Watched{}) {
		t.addWatched(int(min(maxWatched-1, max(0, n.At-t.Started)/dayMillis)), one)
	}
}

func (t *Tally) addWatched(day int, w Watched) {
	for len(t.Watched) <= day {
		t.Watched = append(t.Watched, Watched{})
	}
	t.Watched[day].Closed += w.Closed
	t.Watched[day].Harmed += w.Harmed
	for n := len(t.Watched); n > 0 && t.Watched[n-1] == (Watched{}); n-- {
		t.Watched = t.Watched[:n-1]
	}
}

// Unharmed returns how many units were exposed last, in whole days, and have
// their guardrail window over, since one of those was exposed who were harmed.
// Of a run of which the days are not kept, or not from its beginning, it is all
// units, if none was harmed.
func (t *Tally) Unharmed() (closed int64) {
	harmed := t.sum(func(c *Counts) int64 { return c.Harmed })
	if harmed == 0 {
		return t.sum(func(c *Counts) int64 { return c.Closed })
	}
	for _, w := range t.Watched {
		harmed -= w.Harmed
	}
	if harmed != 0 { // an earlier release began the run
		return 0
	}
	for i := len(t.Watched) - 1; i >= 0 && t.Watched[i].Harmed <= 0; i-- {
		closed += t.Watched[i].Closed
	}
	return closed
}
