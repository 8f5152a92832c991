package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed14307185/refract/outcomes"
)

// The keys of an arm for refract stats lift --mean and --ratio.
const (
	meanForm  = "n=970,x=261,sum=5200.5,squares=181234.25"
	ratioForm = "n=970,x=261,sum=412,squares=860,per=3100,per-squares=14200,products=1690"
)

// momentSamples returns the epochs of a metric that is no rate.
func (f *armFlags) momentSamples(ratio bool) ([]outcomes.MomentSample, error) {
	var all []outcomes.MomentSample
	err := f.epochs(func(treatment, control string, share float64) error {
		s := outcomes.MomentSample{Share: share}
		var err error
		if s.Treatment, err = parseMoments("--treatment", treatment, ratio); err != nil {
			return err
		}
		s.Control, err = parseMoments("--control", control, ratio)
		all = append(all, s)
		return err
	})
	return all, err
}

// parseMoments parses the form of an arm: each key once, in any order.
func parseMoments(flag, s string, ratio bool) (outcomes.Moments, error) {
	form := meanForm
	if ratio {
		form = ratioForm
	}
	wrong := usageErrorf("%s is %q, but must have the keys of %s, with numbers that are not negative", flag, s, form)
	values := map[string]float64{}
	for part := range strings.SplitSeq(s, ",") {
		key, text, _ := strings.Cut(part, "=")
		v, err := strconv.ParseFloat(text, 64)
		if _, twice := values[key]; twice || err != nil || !(v >= 0) || math.IsInf(v, 0) {
			return outcomes.Moments{}, wrong
		}
		values[key] = v
	}
	var known []string
	for part := range strings.SplitSeq(form, ",") {
		key, _, _ := strings.Cut(part, "=")
		known = append(known, key)
	}
	for key := range values {
		if !slices.Contains(known, key) {
			return outcomes.Moments{}, wrong
		}
	}
	n, x := int64(values["n"]), int64(values["x"])
	if len(values) != len(known) || float64(n) != values["n"] || float64(x) != values["x"] {
		return outcomes.Moments{}, wrong
	}
	m := outcomes.MeanMoments(n, x, values["sum"], values["squares"])
	if ratio {
		m.Per, m.PerSquares, m.Products = values["per"], values["per-squares"], values["products"]
	}
	if why := impossible(m, ratio); why != "" {
		return m, usageErrorf("%s is %q, which no units can have: %s", flag, s, why)
	}
	return m, nil
}
