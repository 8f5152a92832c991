package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/seed14307185/refract/segments"
)

// Arm is the side of a test that a unit is on.
type Arm string

// The arms.
const (
	Treatment Arm = "treatment" // gets the response
	Control   Arm = "control"   // the holdout: gets the app's own bytes
)

// Subject is who a request is from. An id that is not known is empty, and its
// record is the zero record.
type Subject struct {
	Visitor, Account             string
	VisitorRecord, AccountRecord segments.Record
	rehearses                    bool // it gets twins, and nothing else: see TwinSubject
}

// Placement is one surface of a page, decided.
type Placement struct {
	Rule *Rule
	Arm  Arm
	Unit segments.Unit // who was assigned
	// Since is when the segment began to hold, in Unix milliseconds, as far as
	// the decision record says: segments.Beginning if that is not known.
	Since int64
}

// Treats says whether the unit gets something that the app did not make.
func (p *Placement) Treats() bool { return p.Arm == Treatment && p.Rule.Response.Operation != None }

// Decision is what happens on one page for one visitor: at most one placement
// a surface.
type Decision []Placement

// Exposure says that a unit, in the segment, reached the surface.
type Exposure struct {
	Rule      string
	Version   string
	Unit      segments.Unit
	Arm       Arm
	Treatment float64 // the probability of treatment when it was assigned
	At        time.Time
	// Visitor is who saw it, also where the unit is an account; empty: not known.
	Visitor string
	// Anonymous is the id by which the request named the visitor, if that is a
	// browser's id and not a person's; else empty. Visitor is another one where
	// it is known whose browser it is.
	Anonymous string
	Browser   Browser // of the request; "": not known
}

// Touches says whether a live rule could apply on the page for anyone: then
// the page must not be stored by shared caches, whatever is decided for this
// visitor.
func (s *Set) Touches(path string) bool {
	for _, r := range s.Live() {
		if r.Surface.On(path) {
			return true
		}
	}
	return false
}

// Decide says what the subject gets on the page. It is pure: the same
// arguments give the same decision, in both arms and on every node. Of several
// rules on one surface the one with the highest priority whose segment holds
// and whose rollout has the unit applies; the others do not, in either arm.
func (s *Set) Decide(path string, who Subject, now time.Time) Decision {
	var d Decision
	at := now.UnixMilli()
next:
	for _, r := range s.live {
		if r.twin != who.rehearses || !r.Surface.On(path) || !r.Expires.IsZero() && !now.Before(r.Expires) || !r.Approved(now) {
			continue
		}
		for _, p := range d {
			if p.Rule.Surface.Name == r.Surface.Name {
				continue next
			}
		}
		record := &who.VisitorRecord
		if r.Segment.Who == segments.Account {
			record = &who.AccountRecord
		}
		since, holds := record.Since(r.segment, at)
		if !holds {
			continue
		}
		unit := segments.Unit{Who: segments.Visitor, ID: who.Visitor}
		if r.Unit == segments.Account {
			unit = segments.Unit{Who: segments.Account, ID: who.Account}
		}
		if unit.ID == "" || s.HeldOut(unit) {
			continue
		}
		arm, in := r.Arm(unit, who.VisitorRecord)
		if !in {
			continue
		}
		if d == nil {
			d = make(Decision, 0, 4) // pages with more are rare
		}
		d = append(d, Placement{Rule: r, Arm: arm, Unit: unit, Since: since})
	}
	return d
}

// On says whether the surface may be on the page.
func (s *Surface) On(path string) bool {
	for _, p := range s.Pages {
		if p.Match(path) {
			return true
		}
	}
	return len(s.Pages) == 0
}

// Assign returns the unit's arm, and whether the unit takes part at all. It is
// a pure function of the rule's name and version, its rollout and the unit:
// the SHA-256 of "name NUL version NUL unit" gives two independent uniform
// fractions, the first 8 bytes for taking part, the next 8 for the arm (both
// big-endian, the upper 53 bits).
func (r *Rule) Assign(unit string) (arm Arm, in bool) {
	share, treatment := fractions(r.Name, r.Version, unit)
	switch {
	case share >= r.Rollout.Share:
		return "", false
	case treatment < r.Rollout.Treatment:
		return Treatment, true
	}
	return Control, true
}

// Arm is Assign for a unit with what is known of the visitor: who was exposed
// under another id, before that was known to be theirs, is assigned by that one.
// Else those who are recognised later, as by signing up, would see both arms, and
// more of one arm's than of the other's.
func (r *Rule) Arm(unit segments.Unit, visitor segments.Record) (arm Arm, in bool) {
	if len(visitor.Kept) > 0 && unit.Who == segments.Visitor {
		key := r.Key()
		for _, k := range visitor.Kept {
			if k.Rule == key {
				return r.Assign(k.As)
			}
		}
	}
	return r.Assign(unit.ID)
}

// Key is a hash of the rule's name and version.
func (r *Rule) Key() uint64 {
	var room [256]byte
	b := append(append(append(room[:0], r.Name...), 0), r.Version...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:8])
}

// fractions are the two numbers in [0, 1) that say where a unit stands in a
// version of a rule.
func fractions(rule, version, unit string) (share, treatment float64) {
	var room [256]byte
	b := append(room[:0], rule...)
	b = append(b, 0)
	b = append(b, version...)
	b = append(b, 0)
	b = append(b, unit...)
	sum := sha256.Sum256(b)
	return fraction(sum[0:8]), fraction(sum[8:16])
}

// fraction maps 8 uniform bytes to [0, 1).
func fraction(b []byte) float64 {
	return float64(binary.BigEndian.Uint64(b)>>11) / (1 << 53)
}

// Live lists the rules that Decide considers, the first to be tried first.
func (s *Set) Live() []*Rule { return s.live[:len(s.live)-s.twins] }

// Rule returns the rule of that name, or nil.
func (s *Set) Rule(name string) *Rule {
	for _, r := range s.Rules {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// Without returns the set with some of its live rules no longer considered.
func (s *Set) Without(stopped func(*Rule) bool) *Set {
	t := *s
	t.live, t.twins = nil, 0
	for _, r := range s.Live() {
		if !stopped(r) {
			t.live = append(t.live, r)
		}
	}
	return &t
}
