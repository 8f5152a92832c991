package console

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/seed14307185/refract/store"
)

// The page of all rules says whether each helped, and where it stands. It has
// no share that could be read as one: whose time is not over counts in neither.
func TestPageOfRules(t *testing.T) {
	rs := examplePage("").RuleStatus
	rs.Unseen, rs.Launches, rs.AlphaSpent = true, 3, .15
	rs.Ramp = &Ramp{Stage: store.Stage{Step: 2, Share: .2, Treatment: .5}, Of: 3}
	var b bytes.Buffer
	if err := pageTemplate().Execute(&b, pageData{Status: Status{Rules: []RuleStatus{rs}}, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	page, err := goquery.NewDocumentFromReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	if got := page.Find("article .answer").Text(); got != string(rs.Answer) {
		t.Errorf("the answer is %q, not %q", got, rs.Answer)
	}
	text := page.Find("article").Text()
	for _, want := range []string{"live, unseen", "needs no approval", "ramp: step 2 of 3 (20 %)", "3 launches", "sample ratio ok"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	whole := regexp.MustCompile(`^\d+$`)
	cells := page.Find("article td").Map(func(_ int, s *goquery.Selection) string { return s.Text() })
	if len(cells) != 12 || slices.ContainsFunc(cells, func(s string) bool { return s != "treatment" && s != "control" && !whole.MatchString(s) }) {
		t.Errorf("a cell is no count: %q", cells)
	}
}
