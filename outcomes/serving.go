package outcomes

import (
	"fmt"
	"math"
	"time"

	"github.com/seed14307185/refract/rules"
)

// Fault is a way in which a response of a rule can be wrong, as the proxy sees
// it by itself.
type Fault string

// The faults. The first three are compared between the arms, the others, which
// treatment has no part in, with what the same pages were like before.
const (
	FaultError     Fault = "error"     // a status of 500 or more, or no answer of the origin
	FaultBroken    Fault = "broken"    // the page ended early, or nobody can say what became of it
	FaultSlow      Fault = "slow"      // over the threshold that control's earlier requests set
	FaultMissing   Fault = "missing"   // the surface is not on the page
	FaultBailout   Fault = "bailout"   // the surface is on it and can't be changed
	FaultDuplicate Fault = "duplicate" // the surface is on it more than once
)

// Faults lists every fault, in the order of the arrays here.
var Faults = [...]Fault{FaultError, FaultBroken, FaultSlow, FaultMissing, FaultBailout, FaultDuplicate}

// The places of the faults in Faults.
const (
	faultError = iota
	faultBroken
	faultSlow
	faultMissing
	_
	faultDuplicate
	faults

	compared = faultMissing // those before are compared between the arms
)

// Served is one response of a rule. Unit, Address and Page are hashes: 64 bits
// that are the same for the same. Responses that a client ended, or that were
// a client's mistake (4xx), must be left out.
type Served struct {
	At      time.Time
	Arm     rules.Arm
	Unit    uint64 // who was assigned
	Address uint64 // the client's address, or what of it one client has for itself
	Page    uint64 // the page, or the kind of page
	Failed  bool   // FaultError
	Broken  bool   // FaultBroken
	// Took is the server's part of the time: until the origin's head was there,
	// and the rewriting, without what the client takes to read. 0: not known.
	Took time.Duration
	// Surface says that the response tells how the surface is: Fault is empty
	// where it is sound, else one of those that aren't compared. Counted says that
	// it would be FaultDuplicate if there were a second one; else it never is.
	Surface bool
	Counted bool
	Fault   Fault
}

// Breach is a serving guardrail that is breached: the counts that decided, of
// one window. Faults of the client address that had the most are in the counts
// and not in the evidence.
type Breach struct {
	Fault           Fault         `json:"fault"`
	Window          time.Duration `json:"window_ns"`
	TreatmentFaults int64         `json:"treatment_faults"`
	Treatment       int64         `json:"treatment"`
	ControlFaults   int64         `json:"control_faults"`
	Control         int64         `json:"control"`
	Share           float64       `json:"share"` // the probability of treatment
	// Tolerated is the rate of the fault that is tolerated, of those that aren't
	// compared between the arms: by what the same pages were like before.
	Tolerated float64 `json:"tolerated,omitempty"`
	LeftOut   int64   `json:"left_out"` // faults of the one client address that had the most
	LogE      float64 `json:"log_e"`
	Limit     float64 `json:"limit"` // the ln E that stops the rule
}

// String words the breach for the ledger.
func (b Breach) String() string {
	s := fmt.Sprintf("%s: %d of %d in treatment, %d of %d in control", b.Fault, b.TreatmentFaults, b.Treatment, b.ControlFaults, b.Control)
	if b.Tolerated > 0 {
		s += fmt.Sprintf(", where %s is tolerated", percent(b.Tolerated))
	}
	return s + fmt.Sprintf(", within %s (ln E = %.1f, stops from %.1f on)", rules.FormatDuration(b.Window), b.LogE, b.Limit)
}

// Serving is the serving guardrails of one run of a rule: a fold over its
// responses, in windows from ten seconds to an hour, side by side. It tells of
// the first breach. Its memory is bounded: see maxCounted. It is not
// safe for concurrent use.
//
// In a window each unit counts once, by the first response that can be judged,
// whatever comes of it: so the arms of the faults are independent draws, as
// GuardrailTest wants them, however often one visitor asks. An address counts
// for at most perAddress units, and the evidence is taken without the faults of
// the address that has most of them, and not before minAddresses have any: no
// client stops a rule alone, whatever ids it gives itself.
//
// Each window of each fault has a part of the budget such that all those of a
// week sum up to it (Boole's inequality). So the odds of a false stop are at
// most the budget for each rule and week, whatever faults and windows have to do
// with each other.
type Serving struct {
	share   float64
	windows [len(windowLengths)]window
	pages   [2]map[uint64]struct{} // where the surface was seen: in this hour, and the one before
	hour    time.Time              // when this one began
	before  [faults][2]float64     // of the windows before, fading: faults, and what they are of
	took    latencies              // of control, the same
	now     latencies              // of control in the present one
	slow    time.Duration          // from where on a response is slow; 0: not known yet
	seen    bool
	crowded bool
	totals  [faults][2]uint64 // of all responses: control, treatment
}

// NewServing returns the guardrails of a rule that starts now. share is the
// probability of treatment: where it is 0 or 1 there is nothing to compare.
func NewServing(share float64) *Serving { return newServing(share, servingBudget) }

func newServing(share, budget float64) *Serving {
	g := &Serving{share: share}
	for i, length := range windowLengths {
		tests := float64(len(windowLengths)*faults) * float64(week/length)
		g.windows[i] = window{length: length, limit: math.Log(tests / budget),
			units: map[uint64]struct{}{}, clients: map[uint64]client{}}
	}
	g.pages[0], g.pages[1] = map[uint64]struct{}{}, map[uint64]struct{}{}
	return g
}

// Count takes a response into account. It returns the breach that it brings
// about, or nil. After that it need not be called any more.
func (g *Serving) Count(x Served) *Breach {
	g.turn(x.At)
	var wrong [faults]bool
	wrong[faultError], wrong[faultBroken] = x.Failed, x.Broken
	wrong[faultSlow] = g.slow > 0 && x.Took > g.slow
	known := false
	if x.Surface {
		known = g.shown(x.Page)
		for i := compared; i < faults; i++ {
			wrong[i] = x.Fault == Faults[i]
		}
	}
	arm := side(x.Arm)
	for i, is := range wrong {
		if is {
			g.totals[i][arm]++
		}
	}
	found := x.Surface && x.Fault != FaultMissing
	g.seen = g.seen || found && x.Fault != FaultBailout
	var breach *Breach
	for i := range g.windows {
		w := &g.windows[i]
		if w.admit(x.Unit, x.Address, byArm) {
			if b := w.take(g.share, arm, 0, compared, &wrong, x.Address); breach == nil {
				breach = b
			}
			if i == learning {
				if arm == 0 && x.Took > 0 {
					g.now.add(x.Took)
				}
				if found && !known && len(g.pages[0]) < maxPages {
					g.pages[0][x.Page] = struct{}{}
				}
			}
		}
		if known && w.admit(x.Unit, x.Address, byContract) {
			last := faultDuplicate
			if !found {
				last = faultMissing + 1
			}
			if b := w.take(g.share, arm, compared, last, &wrong, x.Address); breach == nil {
				breach = b
			}
		}
		if known && found && x.Counted && w.admit(x.Unit, x.Address, byCount) {
			if b := w.take(g.share, arm, faultDuplicate, faults, &wrong, x.Address); breach == nil {
				breach = b
			}
		}
	}
	return breach
}

// Seen says whether the surface was ever there to be changed.
func (g *Serving) Seen() bool { return g.seen }

// Crowded says whether in the last minute most responses were to so few addresses
// that they didn't count: as where a load balancer's stands for all visitors.
func (g *Serving) Crowded() bool { return g.crowded }

// Total returns how many responses had a fault, those that don't count for the
// evidence too.
func (g *Serving) Total(f Fault, arm rules.Arm) uint64 {
	for i, is := range Faults {
		if is == f {
			return g.totals[i][side(arm)]
		}
	}
	return 0
}

// Evidence returns the greatest ln E of a fault in the present windows, as a
// part of what stops the rule: it does at 1.
func (g *Serving) Evidence(f Fault) float64 {
	var most float64
	for i, is := range Faults {
		for j := range g.windows {
			if w := &g.windows[j]; is == f {
				most = max(most, w.logE[i]/w.limit)
			}
		}
	}
	return most
}

// Slow returns from where on a response is slow; 0: that is not known yet.
func (g *Serving) Slow() time.Duration { return g.slow }

func side(a rules.Arm) int {
	if a == rules.Treatment {
		return 1
	}
	return 0
}

// shown says whether a page is one that the surface was seen on before, and
// keeps it so for another hour.
func (g *Serving) shown(page uint64) bool {
	if _, ok := g.pages[0][page]; ok {
		return true
	}
	_, ok := g.pages[1][page]
	if ok && len(g.pages[0]) < maxPages {
		g.pages[0][page] = struct{}{}
	}
	return ok
}

// turn ends the windows whose time is over.
func (g *Serving) turn(now time.Time) {
	if w := &g.windows[learning]; w.over(now) {
		for i := range w.n {
			x, n := w.x[i][0]+w.x[i][1], w.n[i][0]+w.n[i][1]
			if n > 0 { // a night without visitors is nothing to learn from
				g.before[i] = [...]float64{fading*g.before[i][0] + float64(x), fading*g.before[i][1] + float64(n)}
			}
		}
		if n := w.n[faultError]; n[0]+n[1] > 0 {
			g.crowded = w.crowd >= crowded*(n[0]+n[1]+perAddress)
		}
		g.took.fade(&g.now)
		if p, ok := g.took.quantile(.95); ok {
			g.slow = p*5/4 + 50*time.Millisecond
		}
	}
	if now.Sub(g.hour) >= time.Hour {
		g.pages[0], g.pages[1] = g.pages[1], g.pages[0]
		clear(g.pages[0])
		g.hour = now
	}
	for i := range g.windows {
		if w := &g.windows[i]; w.over(now) {
			w.begin(now)
			for f := compared; f < faults; f++ {
				w.tolerated[f] = tolerated(g.before[f])
			}
		}
	}
}
