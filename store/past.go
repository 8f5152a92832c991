package store

import (
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/rules"
)

// Past is what the ledger says of one time: the fold of all entries until then,
// in their order. The zero Past is that of an empty ledger.
type Past struct {
	Last     Entry // the last entry folded
	Load     Entry // the last load
	stops    map[ruleVersion]*Stop
	holds    map[ruleVersion][]Hold
	switches map[pastSwitch]string // what turned it off
}

type ruleVersion struct{ rule, version string }

// pastSwitch keeps a rule, or with none all of them, from being served: a kill
// file, or the switch that signals and the API turn.
type pastSwitch struct {
	file bool
	rule string
}

// PastRule is how a rule stood.
type PastRule struct {
	SiteRule
	// Served says whether its response was, and Why what kept it from that:
	// draft, rolled_back, expired, unapproved or off.
	Served bool   `json:"served"`
	Why    string `json:"why,omitempty"`
	// By is the cause of a rollback, or what turned it off.
	By   string `json:"by,omitempty"`
	Stop *Stop  `json:"stop,omitempty"` // of a rollback but by file
	// Holds are why nothing could be concluded from it.
	Holds []Hold `json:"holds,omitempty"`
}

// Add folds the next entry.
func (p *Past) Add(e *Entry) {
	p.Last = *e
	of := ruleVersion{e.Rule, e.Version}
	switch e.Kind {
	case "load":
		p.Load = *e
		if e.Start { // a kill file that is still there is found anew
			p.switches = nil
		}
	case "rollback":
		if e.Stop == nil || e.Stop.Cause == ByFile {
			return // the site says so
		}
		if p.stops == nil {
			p.stops = map[ruleVersion]*Stop{}
		}
		p.stops[of] = e.Stop
	case "resume":
		delete(p.stops, of)
	case "hold", "release":
		p.hold(e, of)
	case "off", "on":
		by, _, _ := strings.Cut(e.Who, " ")
		if p.switches == nil {
			p.switches = map[pastSwitch]string{}
		}
		if s := (pastSwitch{by == "kill-file", e.Rule}); e.Kind == "off" {
			p.switches[s] = by
		} else {
			delete(p.switches, s)
		}
	}
}

// Rules returns how the rules of a site, which is that of p.Load, stood at a
// time that no later entry is before.
func (p *Past) Rules(site *Site, at time.Time) []PastRule {
	all := []PastRule{}
	for _, r := range site.Rules {
		of := ruleVersion{r.Name, r.Version}
		is := PastRule{SiteRule: r, Stop: p.stops[of], Holds: p.holds[of]}
		switch off := p.off(r.Name); {
		case r.State == rules.Draft:
			is.Why = string(rules.Draft)
		case is.Stop != nil:
			is.Why, is.By = "rolled_back", string(is.Stop.Cause)
		case r.State == rules.RolledBack:
			is.Why, is.By = "rolled_back", string(ByFile)
		case site.Off:
			is.Why, is.By = "off", string(ByFile)
		case !r.Expires.IsZero() && !at.Before(r.Expires):
			is.Why = "expired"
		case r.Unapproved || !r.Until.IsZero() && !at.Before(r.Until):
			is.Why = "unapproved"
		case off != "":
			is.Why, is.By = "off", off
		default:
			is.Served = true
		}
		all = append(all, is)
	}
	return all
}

// hold folds the beginning or the end of a hold.
func (p *Past) hold(e *Entry, of ruleVersion) {
	if e.Hold == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(p.holds[of]), func(o Hold) bool { return e.Hold.same(o) || e.Hold.succeeds(o) })
	if e.Kind == "hold" {
		left = append(left, *e.Hold)
	}
	if p.holds == nil {
		p.holds = map[ruleVersion][]Hold{}
	}
	p.holds[of] = left
}

// off says what keeps a rule off, if anything does.
func (p *Past) off(rule string) (by string) {
	for s, is := range p.switches {
		if s.rule == "" || s.rule == rule {
			by = max(by, is)
		}
	}
	return by
}
