package rewrite_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

var updateDifferences = flag.Bool("update-differences", false, "rewrite "+differencesFile)

const differencesFile = "testdata/chromium/differences.txt"

// A named difference is something that x/net/html builds otherwise than
// Chromium, told by the pages that have it. The first that matches counts.
type namedDifference struct {
	name, what string
	page       *regexp.Regexp
}

var namedDifferences = []namedDifference{
	{"processing-instruction", "Chromium builds a processing instruction, or at the end of the file nothing; both end it at the first '>'", regexp.MustCompile(`<\?`)},
	{"selectedcontent", "Chromium copies the selected option's content into selectedcontent", regexp.MustCompile(`<selectedcontent`)},
	{"doctype-reference", "Chromium leaves character references in a doctype as they are, as the standard has it", regexp.MustCompile(`(?i)<!doctype &`)},
	{"annotation-xml-scope", "for x/net/html annotation-xml bounds the scope of p, for Chromium it does not", regexp.MustCompile(`<annotation-xml>`)},
	{"template-in-math", "x/net/html drops a template in mo within MathML's own template", regexp.MustCompile(`<math><template><mo><template>`)},
	{"head-in-noscript", "without scripting, Chromium leaves noscript on a head tag within", regexp.MustCompile(`<noscript><head`)},
	{"space-in-colgroup-template", "x/net/html drops the spaces in a text that a template of cols refuses", regexp.MustCompile(`<template><col>`)},
	{"space-after-frameset", "x/net/html keeps the spaces in a text that plaintext in a frameset refuses", regexp.MustCompile(`<frameset>.*<plaintext>`)},
}

// differenceSettings are where the inputs are tried, besides alone.
var differenceSettings = []string{"div, text after", "span", "p", "td", "before div"}

// differences holds x/net/html against Chromium. Where they differ is on
// record in differencesFile, by name.
func (c *chromium) differences(t *testing.T, inputs []string) {
	pages := slices.Clone(inputs)
	for _, s := range chromiumSettings {
		if slices.Contains(differenceSettings, s.name) {
			for _, input := range inputs {
				pages = append(pages, s.with(input).page())
			}
		}
	}
	var trees [][]string
	for batch := range batches(pages, func(s string) int { return 1000 + len(s) }) {
		trees = append(trees, call[[][]string](t, c, "dump", batch)...)
	}
	found := map[string][]string{} // by name
	for i, page := range pages {
		entry := ""
		for j, scripting := range []bool{true, false} {
			tree, err := html.ParseWithOptions(strings.NewReader(page), html.ParseOptionEnableScripting(scripting))
			have := fmt.Sprint(err)
			if err == nil {
				have = dumpLike(tree)
			}
			if have == trees[i][j] {
				continue
			}
			mode := []string{"on", "off"}[j]
			if lines := lineDifference(trees[i][j], have); strings.HasSuffix(entry, "\n"+lines) {
				entry = fmt.Sprintf("%q scripting on, off\n%s", page, lines)
			} else {
				entry += fmt.Sprintf("%q scripting %s\n%s", page, mode, lines)
			}
		}
		if entry == "" {
			continue
		}
		n := slices.IndexFunc(namedDifferences, func(d namedDifference) bool { return d.page.MatchString(page) })
		if n < 0 {
			t.Errorf("x/net/html and Chromium %s differ where namedDifferences has no name for it:\n%s", c.version, entry)
			continue
		}
		found[namedDifferences[n].name] = append(found[namedDifferences[n].name], entry)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "What Chromium (-) and x/net/html (+) build of the html5lib inputs, where they differ.\nWritten by go test -run TestChromium/differences ./rewrite -chromium=all -update-differences with Chromium %s.\n", c.version)
	count := 0
	for _, d := range namedDifferences {
		fmt.Fprintf(&b, "\n# %s: %s (%d)\n\n%s", d.name, d.what, len(found[d.name]), strings.Join(found[d.name], "\n"))
		count += len(found[d.name])
	}
	t.Logf("%d of %d pages differ between Chromium %s and x/net/html", count, len(pages), c.version)
	if *updateDifferences {
		if err := os.WriteFile(differencesFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	const hint = "hint: if it is right, run go test -run TestChromium/differences ./rewrite -chromium=all -update-differences"
	for name, entries := range found {
		for _, entry := range entries {
			if !strings.Contains(string(golden), "\n"+entry) {
				t.Errorf("%s is without this %s:\n%s\n%s", differencesFile, name, entry, hint)
			}
		}
	}
	if recorded := strings.Count(string(golden), "\n\""); *chromiumAll == "all" && recorded != strings.Count(b.String(), "\n\"") {
		t.Errorf("%s has %d entries, and %d were found\n%s", differencesFile, recorded, count, hint)
	}
}

// lineDifference gives the lines between the first and the last that differ.
func lineDifference(chromium, xnet string) string {
	a, b := strings.Split(chromium, "\n"), strings.Split(xnet, "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var out strings.Builder
	for _, line := range a {
		fmt.Fprintf(&out, "- %s\n", line)
	}
	for _, line := range b {
		fmt.Fprintf(&out, "+ %s\n", line)
	}
	return out.String()
}
