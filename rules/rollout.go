package rules

import "time"

// Rollout says who takes part.
type Rollout struct {
	Share     float64 // of the units, that take part at all: (0, 1]
	Treatment float64 // of those, that get the response: (0, 1)
	// Ramp are the steps by which the rule comes to Share and Treatment, which
	// are those of the last one. Shares rise. Nil: it begins with them.
	Ramp []Step
	// Undecided says how long the guardrail may be undecided.
	Undecided Undecided
}

// Undecided is what becomes of a rule whose guardrail is neither cleared nor
// breached for some time.
type Undecided struct {
	After  time.Duration // 0: it may be for ever
	Revert bool          // then the rule is rolled back; else it is held, and people are told
}

// Step is a part of a ramp.
type Step struct {
	Share, Treatment float64       // as those of a Rollout
	For              time.Duration // how long it lasts at least; of the last one it means nothing
}

// Steps are the steps of the rollout: at least one.
func (r Rollout) Steps() []Step {
	if len(r.Ramp) == 0 {
		return []Step{{Share: r.Share, Treatment: r.Treatment}}
	}
	return r.Ramp
}

// Staged returns the set with each rule at the share and the treatment that at
// returns for it. The rules that differ from what they were are copies.
func (s *Set) Staged(at func(*Rule) (share, treatment float64)) *Set {
	copies := map[*Rule]*Rule{}
	staged := func(list []*Rule) (next []*Rule) {
		for _, r := range list {
			share, treatment := at(r)
			if share != r.Rollout.Share || treatment != r.Rollout.Treatment {
				if copies[r] == nil {
					c := *r
					c.Rollout.Share, c.Rollout.Treatment = share, treatment
					copies[r] = &c
				}
				r = copies[r]
			}
			next = append(next, r)
		}
		return next
	}
	t := *s
	t.Rules, t.live = staged(s.Rules), staged(s.live)
	return &t
}

func (r *Rule) readRollout(v value) {
	f, ok := v.fields("a mapping such as {share: 100%, treatment: 50%}", "share", "treatment", "ramp", "undecided")
	if !ok {
		return
	}
	set(&r.Rollout.Share)(readShare(f.get("share")))
	set(&r.Rollout.Treatment)(readTreatment(f.get("treatment")))
	r.readRamp(f)
	r.readUndecided(f.get("undecided"))
}

func (r *Rule) readUndecided(v value) {
	f, ok := v.fields("a mapping such as {after: 28d, then: hold}", "after", "then")
	if !ok {
		return
	}
	u := &r.Rollout.Undecided
	after := f.need("after", "how long the guardrail may be undecided: after: 28d")
	set(&u.After)(window(after))
	then, _ := f.get("then").oneOf("hold", "revert")
	u.Revert = then == "revert"
	if within := r.Guardrail.Within; 0 < u.After && u.After < within {
		after.refuse("it is at least the guardrail's within", "after is %s, when no unit's guardrail window of %s is over: none could be cleared by then",
			FormatDuration(u.After), FormatDuration(within))
	}
}

func readShare(v value) (float64, bool) {
	return share(v, func(f float64) bool { return 0.001 <= f && f <= 0.999 || f == 1 },
		"the share that takes part is more than 0% and at most 100%; to stop a rule write state: rolled_back")
}

func readTreatment(v value) (float64, bool) {
	f, ok := share(v, func(f float64) bool { return 0 < f && f <= 1 }, "the treatment is from 0.1% to 99.9% of those that take part")
	if ok && f == 1 {
		v.refuse("leave some of the units in control, for example treatment: 90%", "treatment is 100%%: without a holdout nothing is measured")
		return 0, false
	}
	return f, ok
}

// maxSteps bounds a ramp.
const maxSteps = 20

// readRamp reads the steps, and adds the last one, that of the rollout itself,
// if they don't end with it.
func (r *Rule) readRamp(f fields) {
	list := f.get("ramp")
	entries, ok := list.some("shares such as 5%")
	if !ok {
		return
	}
	if len(entries) > maxSteps {
		list.refuse("", "the ramp has %d steps: %d are possible", len(entries), maxSteps)
		return
	}
	for _, entry := range entries {
		step := Step{Treatment: r.Rollout.Treatment, For: r.Guardrail.Within}
		at := entry
		if entry.isMapping() {
			m, _ := entry.fields("a mapping with share", "share", "treatment", "for")
			at = m.need("share", "the share that takes part in this step: share: 20%")
			set(&step.Treatment)(readTreatment(m.get("treatment")))
			set(&step.For)(window(m.get("for")))
		}
		if step.Share, ok = readShare(at); !ok {
			continue
		}
		if n := len(r.Rollout.Ramp); n > 0 && step.Share <= r.Rollout.Ramp[n-1].Share {
			at.refuse("a step may only add units to those of the step before", "the ramp goes from %s%% to %s%%: its shares must rise",
				formatPercent(r.Rollout.Ramp[n-1].Share), formatPercent(step.Share))
		}
		if step.Share > r.Rollout.Share {
			at.refuse("raise the share, or leave the step out", "the ramp has a step of %s%%, and the rollout's share is %s%%",
				formatPercent(step.Share), formatPercent(r.Rollout.Share))
		}
		r.Rollout.Ramp = append(r.Rollout.Ramp, step)
	}
	n := len(r.Rollout.Ramp)
	if n == 0 {
		return
	}
	end := Step{Share: r.Rollout.Share, Treatment: r.Rollout.Treatment}
	switch last := r.Rollout.Ramp[n-1]; {
	case last.Share < end.Share:
		r.Rollout.Ramp = append(r.Rollout.Ramp, end)
	case last.Treatment != end.Treatment:
		list.refuse("leave it out of the step", "the last step is that of the rollout itself, whose treatment is %s%%, not %s%%",
			formatPercent(end.Treatment), formatPercent(last.Treatment))
	}
}
