package outcomes

import (
	"math"
	"time"
)

const week = 7 * 24 * time.Hour

// windowLengths are the windows: in short ones a sudden fault soon has most of
// the responses, in long ones a quiet site has enough of them.
var windowLengths = [...]time.Duration{10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}

// learning is the window whose counts say what comes after it is like.
const learning = 1

const (
	// servingBudget is the rate of false stops accepted, for each rule and week.
	servingBudget = 0.01
	// servingTolerate is the relative increase of errors, broken and slow pages
	// that is tolerated.
	servingTolerate = 0.25

	// maxCounted bounds the entries of each of a window's two tables, at some 20
	// bytes: so a rule's take at most 2 MiB. A window that is full counts no one
	// else, whatever they get. maxPages bounds the pages of an hour.
	maxCounted = 8192
	maxPages   = 1024

	// perAddress is how many units of one client address count in a window, and
	// minAddresses of how many addresses there must be faults.
	perAddress   = 4
	minAddresses = 8

	// crowded is how many responses don't count for their address, to each that
	// counts, where most visitors seem to have few addresses.
	crowded = 10

	// fading is what is left of what was learned when a minute with visitors has
	// passed: half of it in 7.
	fading = 0.9
	// enough is how many sound pages must have been seen to say what the page is
	// like, and how many of control's responses how long they take.
	enough = 50
)

// window are the counts of one window.
type window struct {
	length  time.Duration
	limit   float64 // the ln E of a breach
	start   time.Time
	units   map[uint64]struct{} // that are counted
	clients map[uint64]client   // by their address

	x, n      [faults][2]int64 // faults, and what they are of: control, treatment
	most      [faults]uint8    // the faults of the address that has most
	addresses [faults]int32    // that have any
	crowd     int64            // responses that don't count for their address
	tolerated [faults]float64  // the rate of those that aren't compared; 0: not judged
	logE      [faults]float64
}

// client is what one address did in a window. What is compared is counted in
// treatment alone: without that the evidence is the least.
type client struct {
	units  [groups]uint8 // that count, by group
	faults [faults]uint8
}

// A unit counts once for the faults that are compared between the arms, once for
// the others, which not every response tells of, and once for the surface's being
// there twice, which only pages that were searched to their end tell of.
const (
	byArm = iota
	byContract
	byCount
	groups
)

func (w *window) over(now time.Time) bool { return w.start.IsZero() || now.Sub(w.start) >= w.length }

func (w *window) begin(now time.Time) {
	clear(w.units)
	clear(w.clients)
	*w = window{length: w.length, limit: w.limit, start: now, units: w.units, clients: w.clients}
}

// admit says whether a unit counts, and notes that it does: the first time, if
// there is room, and its address has not had its units.
func (w *window) admit(unit, address uint64, group int) bool {
	unit ^= uint64(group) * 0x9e3779b97f4a7c15 // or it would be in the table already
	if _, ok := w.units[unit]; ok || len(w.units) >= maxCounted {
		return false
	}
	c, ok := w.clients[address]
	if c.units[group] >= perAddress {
		w.crowd++
		return false
	}
	if !ok && len(w.clients) >= maxCounted {
		return false
	}
	c.units[group]++
	w.clients[address] = c
	w.units[unit] = struct{}{}
	return true
}

// take counts the faults from first on, before last, and judges those that
// became more.
func (w *window) take(share float64, arm, first, last int, wrong *[faults]bool, address uint64) (breach *Breach) {
	for f := first; f < last; f++ {
		w.n[f][arm]++
		if !wrong[f] {
			continue
		}
		w.x[f][arm]++
		if f >= compared || arm == 1 {
			c := w.clients[address]
			if c.faults[f]++; c.faults[f] == 1 {
				w.addresses[f]++
			}
			w.most[f] = max(w.most[f], c.faults[f])
			w.clients[address] = c
		}
		w.logE[f] = w.evidence(share, f)
		if w.logE[f] >= w.limit && w.addresses[f] >= minAddresses && breach == nil {
			breach = &Breach{
				Fault: Faults[f], Window: w.length, Share: share, Tolerated: w.tolerated[f], LeftOut: int64(w.most[f]),
				TreatmentFaults: w.x[f][1], Treatment: w.n[f][1], ControlFaults: w.x[f][0], Control: w.n[f][0],
				LogE: w.logE[f], Limit: w.limit,
			}
		}
	}
	return breach
}

// evidence is ln E of a fault without the address that has most of it.
func (w *window) evidence(share float64, f int) float64 {
	x, n := w.x[f], w.n[f]
	if f >= compared {
		all, of := x[0]+x[1]-int64(w.most[f]), n[0]+n[1]-int64(w.most[f])
		return rateLogE(all, of, w.tolerated[f])
	}
	x[1] -= int64(w.most[f])
	e := shareLogE(x, share)
	// By the arms' sizes too: treatment may bring visitors to come more often,
	// and is not to blame for their share of an outage.
	return min(e, shareLogE(x, float64(n[1])/float64(n[0]+n[1])))
}

// shareLogE returns ln E against the faults of treatment being at most
// 1 + servingTolerate times control's, of faults in control and treatment: a
// mixture of GuardrailTest's bets without a baseline, for greater ratios.
func shareLogE(x [2]int64, share float64) float64 {
	e := Sample{Share: share, Treatment: Proportion{X: x[1], N: x[1]}, Control: Proportion{X: x[0], N: x[0]}}
	if !e.randomised() {
		return 0
	}
	const r0 = 1 + servingTolerate
	return mixed(
		baselineFree(share, r0, 1.5*r0).logE(e), baselineFree(share, r0, 3*r0).logE(e),
		baselineFree(share, r0, 10*r0).logE(e), baselineFree(share, r0, 100*r0).logE(e))
}

// rateLogE returns ln E against a rate of x in n being at most q: a mixture of
// the likelihood ratios of two greater rates to q.
func rateLogE(x, n int64, q float64) float64 {
	if q <= 0 || q >= 1 {
		return 0
	}
	bet := func(p float64) float64 { return float64(x)*math.Log(p/q) + float64(n-x)*math.Log((1-p)/(1-q)) }
	return mixed(bet(1-(1-q)/2), bet(1-(1-q)/20))
}

// mixed is the logarithm of the mean of what the logarithms are given of.
func mixed(logs ...float64) float64 {
	top := math.Inf(-1)
	for _, x := range logs {
		top = max(top, x)
	}
	var sum float64
	for _, x := range logs {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum/float64(len(logs)))
}

// tolerated is the rate of a fault at which half as many pages are sound as
// were before; 0 where too few were to say.
func tolerated(before [2]float64) float64 {
	x, n := before[0], before[1]
	if n-x < enough {
		return 0
	}
	return 1 - (n-x)/n/2
}

// latencies are times in classes an eighth of an octave wide, from 1 ms on.
type latencies [128]float64

func (l *latencies) add(d time.Duration) {
	l[min(len(l)-1, int(8*math.Log2(1+float64(d)/float64(time.Millisecond))))]++
}

// fade takes over what now has, and empties it. Without any, nothing fades.
func (l *latencies) fade(now *latencies) {
	var n float64
	for _, x := range now {
		n += x
	}
	if n == 0 {
		return
	}
	for i := range l {
		l[i] = fading*l[i] + now[i]
	}
	*now = latencies{}
}

// quantile returns the upper end of the class that has the quantile, if there is
// enough to say.
func (l *latencies) quantile(q float64) (time.Duration, bool) {
	var n, sum float64
	for _, x := range l {
		n += x
	}
	if n < enough {
		return 0, false
	}
	for i, x := range l {
		if sum += x; sum >= q*n {
			return time.Duration((math.Exp2(float64(i+1)/8) - 1) * float64(time.Millisecond)), true
		}
	}
	return 0, false
}
