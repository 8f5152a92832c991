package rewrite_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// soup writes pages: mostly nested as they should be, with a taste for what
// real templates get wrong.
type soup struct {
	*rand.Rand
	b    strings.Builder
	wild float64 // how often a token is just thrown in
}

var (
	containers = []string{"div", "section", "article", "ul", "ol", "dl", "p", "li", "dd", "h2", "h3", "span", "b", "a", "i",
		"em", "font", "form", "button", "label", "fieldset", "blockquote", "x-card", "details", "summary", "object", "ruby", "rt",
		"nobr", "center", "main", "nav", "figure", "dialog", "search", "option", "pre", "address"}
	strays = []string{"</div>", "</p>", "</b>", "</a>", "<b>", "<a href=1>", "<i>", "<p>", "<li>", "<dd>", "<br>", "<hr>",
		"<img src=x>", "</br>", "<table>", "</table>", "<td>", "</td>", "<tr>", "<tr><td>", "</tr>", "<caption>", "<col>",
		"<form>", "</form>", "<button>", "</button>", "<svg>", "</svg>", "<svg/>", "<math><mi>x</mi>", "</math>", "<title>",
		"<style>", "</style>", "<script>", "</script>", "<!--", "-->", "<select>", "</select>", "<option>", "<textarea>",
		"</textarea>", "<template>", "</template>", "<noscript>", "</noscript>", "<frameset>", "<body>", "</body>", "</html>",
		"<html a=b>", "<head>", "</head>", "<input>", "<input type=hidden>", "<plaintext>", "<![CDATA[x]]>", "<?php ?>", "</>",
		"</ >", "<div", "<a b='", "\x00", "&amp", "</h2>", "<h3>", "<nobr>", "<ruby><rt>", "<rp>", "<xmp>", "</xmp>", "<iframe>",
		"</iframe>", "<applet>", "</object>", "<font size=1>", "</font>", "<foreignObject>", "<desc>", "<meta>", "<base>",
		"</sarcasm>", "<image>", "<menuitem>", "<rtc>", "<optgroup>", "</li>", "</ul>", "</span>", "<!doctype html>", "<li/>"}
	chunks = []string{
		"<table><tbody><tr><td>%s</td></tr></tbody></table>", "<table><tr><td>%s<td>%s</table>", "<table><caption>%s</caption><tr><th>%s</table>",
		"<select><option>1<option>2</select>", "<svg viewBox='0 0 1 1'><title>t</title><path d='M0 0'/><g><style>a{}</style></g></svg>",
		"<template><li>%s</template>", "<script>if (a<b) { '<div data-surface=x>' }</script>", "<style>p > b {}</style>",
		"<!-- <div data-surface=x> -->", "<textarea><div data-surface=x></textarea>", "<noscript><img src=x></noscript>",
		"<noscript><p>%s</p></noscript>", "<p>%s<p>%s", "<ul><li>%s<li>%s</ul>", "<dl><dt>%s<dd>%s</dl>", "<br>", "<input>", "<b>%s</b>",
		"<math><mi>x</mi><mo>&lt;</mo></math>", "<iframe><p></iframe>", "text", " ", "&nbsp;", "<object>%s</object>", "<ruby>x<rt>%s</ruby>",
	}
)

func (s *soup) pick(from []string) string { return from[s.IntN(len(from))] }

func (s *soup) write(depth int) {
	for range s.IntN(4) {
		if s.Float64() < s.wild {
			s.b.WriteString(s.pick(strays))
			continue
		}
		switch n := s.IntN(10); {
		case n < 3 || depth == 0:
			s.b.WriteString("text")
		case n < 6:
			parts := strings.Split(s.pick(chunks), "%s")
			for i, part := range parts {
				if i > 0 {
					s.write(depth - 1)
				}
				s.b.WriteString(part)
			}
		default:
			name, mark := s.pick(containers), ""
			if s.IntN(5) == 0 {
				mark = " data-surface=x"
			}
			fmt.Fprintf(&s.b, "<%s%s>", name, mark)
			s.write(depth - 1)
			if s.Float64() >= s.wild/2 {
				fmt.Fprintf(&s.b, "</%s>", name)
			}
		}
	}
}

// soupPage is the page of a number in this run's seed.
func soupPage(i uint64) (*soup, string) {
	s := &soup{Rand: rand.New(rand.NewPCG(seed(), i))}
	s.wild = float64(s.IntN(8)) * 0.06
	s.b.WriteString(s.pick([]string{"", "<!doctype html>", "<!doctype html><html><head><title>x</title></head><body>", "<body>"}))
	for range 3 {
		s.write(5)
	}
	return s, s.b.String()
}

func soups(t *testing.T) uint64 {
	if t.Logf("-seed %d", seed()); testing.Short() {
		return 2000
	}
	return 20000
}

// Tag soup comes out of a mixture of operations as it does in the tree.
func TestSoup(t *testing.T) {
	all := map[rewrite.Operation]*bailouts{}
	for i := range soups(t) {
		s, page := soupPage(i)
		page, names := numbered(page)
		if len(names) == 0 {
			continue
		}
		plan := mixedPlan(s.Rand, names...)
		saw, err := check(page, plan)
		if err != nil {
			t.Fatal(err)
		}
		for i := range saw {
			operation := plan.Surfaces[i].Operation
			if all[operation] == nil {
				all[operation] = &bailouts{}
			}
			all[operation].add(saw[i : i+1])
		}
	}
	for _, operation := range supported {
		c := all[operation]
		left := 0
		for _, n := range c.reasons {
			left += n
		}
		t.Logf("%s  %s", c, operation)
		if c.regions-left < 10 {
			t.Errorf("%s: only %d of %d regions changed: this shows nothing", operation, c.regions-left, c.regions)
		}
	}
}

// Where elements share a name, the first of the source is changed and no other.
func TestSoupOfOneName(t *testing.T) {
	changed := 0
	for i := range soups(t) / 4 {
		s, page := soupPage(i)
		if strings.Contains(page, "<noscript><p>") {
			continue // whose elements are there for some
		}
		n := 0
		page = marks.ReplaceAllStringFunc(page, func(string) string {
			n++
			return fmt.Sprintf("n=%d data-surface=x", n)
		})
		if n < 2 {
			continue
		}
		saw, err := check(page, mixedPlan(s.Rand, "x", "nowhere"))
		if err != nil {
			t.Fatal(err)
		}
		if saw[0].State == rewrite.Swappable {
			changed++
		}
	}
	if changed < 20 {
		t.Errorf("only %d changed: this shows nothing", changed)
	}
}
