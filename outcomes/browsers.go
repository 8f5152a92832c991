package outcomes

import "github.com/seed14307185/refract/rules"

// ByBrowser has something for each class of browsers.
type ByBrowser[T any] struct {
	Chromium T `json:"chromium,omitzero"`
	Firefox  T `json:"firefox,omitzero"`
	Safari   T `json:"safari,omitzero"`
	Other    T `json:"other,omitzero"`
	App      T `json:"app,omitzero"`
}

// Of is where what belongs to a class is kept; nil: it is none of rules.Browsers.
func (b *ByBrowser[T]) Of(browser rules.Browser) *T {
	switch browser {
	case rules.Chromium:
		return &b.Chromium
	case rules.Firefox:
		return &b.Firefox
	case rules.Safari:
		return &b.Safari
	case rules.OtherBrowser:
		return &b.Other
	case rules.App:
		return &b.App
	}
	return nil
}

func addBrowsers(b *ByBrowser[int64], o ByBrowser[int64], times int64) {
	b.Chromium += times * o.Chromium
	b.Firefox += times * o.Firefox
	b.Safari += times * o.Safari
	b.Other += times * o.Other
	b.App += times * o.App
}

// judgeSRM tests the sample ratio of all units and of each class of browsers, by
// the greatest evidence so far, which it moves. A swap that is blocked in one
// browser, or a cache that has one arm only for it, shows in its class where the
// whole looks right.
func (t *Tally) judgeSRM(room []Sample) SRM {
	now := SRMTest{}.Check(t.samples(room, func(c *Counts) Proportion { return Proportion{N: c.Exposed} }))
	t.MaxSRMLogE = max(t.MaxSRMLogE, now.LogBF)
	all := srm(now.LogBF, t.MaxSRMLogE, 1)
	for _, b := range rules.Browsers {
		if !t.has(b) {
			continue
		}
		greatest := t.MaxBrowserSRMLogE.Of(b)
		now := SRMTest{}.Check(t.samples(room, func(c *Counts) Proportion { return Proportion{N: *c.Browsers.Of(b)} }))
		*greatest = max(*greatest, now.LogBF)
		of := srm(now.LogBF, *greatest, len(rules.Browsers))
		*all.Browsers.Of(b) = SRMClass{of.State, of.LogBF, of.P}
		if of.P < all.P {
			all.State, all.P, all.Browser = of.State, of.P, b
		}
	}
	return all
}

// has says whether any unit was ever of the class.
func (t *Tally) has(b rules.Browser) bool {
	if *t.MaxBrowserSRMLogE.Of(b) > 0 {
		return true
	}
	for i := range t.Epochs {
		if *t.Epochs[i].TreatmentArm.Browsers.Of(b)+*t.Epochs[i].ControlArm.Browsers.Of(b) > 0 {
			return true
		}
	}
	return false
}
