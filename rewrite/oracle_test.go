package rewrite_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

// The oracle: a changed page must parse to the tree that the page parses to,
// with the same change made in the tree, for browsers with and without scripts.

// observing is the plan of the control arm.
func observing(plan rewrite.Plan) rewrite.Plan {
	plan.Surfaces = slices.Clone(plan.Surfaces)
	for i := range plan.Surfaces {
		plan.Surfaces[i].Replace = false
	}
	return plan
}

// verify rewrites a UTF-8 page in both arms and holds the outcome against the
// oracle.
func verify(t testing.TB, page string, plan rewrite.Plan) []rewrite.Sighting {
	t.Helper()
	saw, err := check(page, plan)
	if err != nil {
		t.Fatal(err)
	}
	return saw
}

func check(page string, plan rewrite.Plan) ([]rewrite.Sighting, error) {
	got, saw, err := rewriteAllWays(page, inUTF8, plan)
	if err != nil {
		return nil, err
	}
	if err := checkControl(page, inUTF8, plan, saw); err != nil {
		return nil, err
	}
	if err := checkSightings(page, plan, saw); err != nil {
		return nil, fmt.Errorf("%w\npage %q\nsaw  %+v", err, page, saw)
	}
	edits := editsMade(plan, saw)
	if len(edits) == 0 && got != page {
		return nil, fmt.Errorf("nothing changed by what was seen, yet\nwas %q\nnow %q\nsaw %+v", page, got, saw)
	}
	if err := conserved(page, got, edits); err != nil {
		return nil, err
	}
	if oracleErrs(page) || oracleErrs(got) {
		return saw, nil
	}
	for _, scripting := range []bool{true, false} {
		if err := checkTree(page, got, plan, saw, edits, scripting); err != nil {
			return nil, fmt.Errorf("%w (scripting %v)\npage %q\ngot  %q\nsaw  %+v", err, scripting, page, got, saw)
		}
	}
	return saw, nil
}

// oracleErrs says whether x/net/html is known not to follow the standard's
// tokenizer on a page: it forgets that a script is in a comment at a '<' that
// begins nothing, and takes the '/' that an unquoted value ends with for that of
// a self-closing tag if the attribute is a repeated one; and after a table it
// takes an svg element's name for that of an HTML element to find the mode by.
// It drops a template that svg or math is around, and a line end in a pre also
// where tags that are ignored stand before it.
func oracleErrs(page string) bool {
	return scriptInComment.MatchString(page) || tablePartInForeign.MatchString(page) || templateInForeign.MatchString(page) || lineInPre.MatchString(page) || slashOfRepeated.MatchString(page) && inForeign.MatchString(page)
}

var (
	// The marker of an element that is open at a template's end lets formatting
	// elements out, to be opened anew with their attributes: none was met there.
	leavesTemplate = regexp.MustCompile(`(?is)<template.*<(applet|marquee|object|td|th|caption)`)

	scriptInComment    = regexp.MustCompile(`(?is)<script.*<!--.*<[^a-z/].*</?script`)
	slashOfRepeated    = regexp.MustCompile(`(?i)<[a-z][^>]*=[^>]*=[^\s"'>]*/>`)
	tablePartInForeign = regexp.MustCompile(`(?is)<(svg|math).*<(t[drh]|tbody|thead|tfoot|caption|colgroup).*<(title|desc|foreignobject|m[ions]|mtext).*<table`)
	lineInPre          = regexp.MustCompile(`(?i)<(pre|listing)[^a-z][^>]*(>|<[^>]*>)+[\r\n]|<(pre|listing)>(<[^>]*>)+[\r\n]`)
	templateInForeign  = regexp.MustCompile(`(?is)<(svg|math).*<template`)

	inForeign = regexp.MustCompile(`(?i)<(svg|math)`)
)

// checkControl: the control arm sees the same and changes nothing.
func checkControl(page, contentType string, plan rewrite.Plan, saw []rewrite.Sighting) error {
	program, err := rewrite.Compile(observing(plan))
	if err != nil {
		return fmt.Errorf("compiling control: %w", err)
	}
	src := chunked{strings.NewReader(page), 0, randomFor(page)}
	same, sawSame, err := rewriteBy(program, src, contentType, drainWhole)
	if err != nil {
		return fmt.Errorf("control, page %q: %w", page, err)
	}
	if same != page {
		return fmt.Errorf("control changed the page\nwas %q\nnow %q", page, same)
	}
	if !slices.Equal(saw, sawSame) {
		return fmt.Errorf("the arms see differently: %+v, control %+v\npage %q", saw, sawSame, page)
	}
	return nil
}

// checkSightings holds what can be said of sightings without a tree.
func checkSightings(page string, plan rewrite.Plan, saw []rewrite.Sighting) error {
	if len(saw) != len(plan.Surfaces) {
		return fmt.Errorf("%d sightings of %d surfaces", len(saw), len(plan.Surfaces))
	}
	for i, s := range saw {
		surface := plan.Surfaces[i]
		wanted := cmp.Or(surface.Operation, rewrite.Inner)
		switch {
		case s.Name != surface.Name:
			return fmt.Errorf("sighting %d is of %q, not of %q", i, s.Name, surface.Name)
		case s.State != rewrite.Missing && s.State != rewrite.Swappable && s.State != rewrite.Untouched,
			(s.State == rewrite.Untouched) != (s.Reason != ""),
			s.State == rewrite.Missing && s.Count != 0,
			s.State == rewrite.Swappable && s.Count == 0:
			return fmt.Errorf("%q makes no sense", s.Name)
		case s.State == rewrite.Swappable && wanted != rewrite.Auto && s.Operation != wanted,
			s.State == rewrite.Swappable && wanted == rewrite.Auto && s.Operation != rewrite.Inner && s.Operation != rewrite.Shadow:
			return fmt.Errorf("%q: %q instead of %q", s.Name, s.Operation, wanted)
		case s.Count > 0 && (s.Offset < 0 || s.Offset >= int64(len(page)) || !hasPrefixFold(page[s.Offset:], "<"+s.Element)):
			return fmt.Errorf("%q is no <%s> at %d", s.Name, s.Element, s.Offset)
		}
	}
	return nil
}

func checkTree(page, got string, plan rewrite.Plan, saw []rewrite.Sighting, edits []edit, scripting bool) error {
	attribute := strings.ToLower(cmp.Or(plan.Attribute, rewrite.DefaultAttribute))
	before, err := parse(page, scripting)
	if err != nil {
		return nil // nested deeper than the oracle goes
	}
	for i, s := range saw {
		if s.State == rewrite.Missing && scripting && !leavesTemplate.MatchString(page) && met(before, attribute, plan.Surfaces[i]) != nil {
			return fmt.Errorf("%q is there, and was not met", s.Name)
		}
	}
	if len(edits) == 0 {
		return nil
	}
	after, err := parse(got, scripting)
	if err != nil {
		return fmt.Errorf("the oracle takes the page, but not what became of it: %w", err)
	}
	for _, e := range edits {
		if e.operation != rewrite.Shadow {
			continue
		}
		n := met(after, attribute, e.surface)
		if n == nil {
			return fmt.Errorf("%q is gone", e.surface.Name)
		}
		if err := e.takeShadow(n, scripting); err != nil {
			return fmt.Errorf("%q: %w", e.surface.Name, err)
		}
	}
	targets := make([]*html.Node, len(edits))
	for i, e := range edits { // all of them, before any is changed
		if targets[i] = met(before, attribute, e.surface); targets[i] == nil {
			return fmt.Errorf("no element of the tree is %q", e.surface.Name)
		}
	}
	for i, e := range edits {
		if err := e.apply(targets[i], scripting); err != nil {
			return fmt.Errorf("%q: %w", e.surface.Name, err)
		}
	}
	if want, have := dump(before), dump(after); want != have {
		return fmt.Errorf("wrong splice\nwant\n%s\nhave\n%s", want, have)
	}
	return nil
}

var marks = regexp.MustCompile(`(?i)data-surface\s*=\s*["']?x`)

// numbered makes the names of all regions marked x differ: x0, x1, …
func numbered(page string) (string, []string) {
	var names []string
	page = marks.ReplaceAllStringFunc(page, func(m string) string {
		names = append(names, fmt.Sprintf("x%d", len(names)))
		return m[:len(m)-1] + names[len(names)-1]
	})
	return page, names
}
