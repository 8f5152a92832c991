package rewrite_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rewrite"
)

// A setting puts a hostile input, %s, into, before or after a region: before
// ends with the region's start tag, content is what the region was written
// with, after begins with the end tag that was written for it.
type setting struct{ name, before, content, after string }

var chromiumSettings = []setting{
	{"div", `<!doctype html><body><div data-surface="x">`, `%s`, `</div>`},
	{"div, page closed", `<!doctype html><body><div data-surface="x">`, `%s`, `</div></body></html>`},
	{"div, text after", `<!doctype html><body><div data-surface="x">`, `%s`, `</div>tail text`},
	{"div, p after", `<!doctype html><body><div data-surface="x">`, `%s`, "</div><p id=after>tail</p>\n</body></html>\n"},
	{"div, quirks", `<div data-surface="x">`, `%s`, `</div><i>tail</i>`},
	{"li", `<!doctype html><body><ul><li data-surface="x">`, `%s`, `</li><li>tail</ul>`},
	{"section", `<!doctype html><body><section data-surface="x">`, `%s`, `</section><p id=after>tail`},
	{"td", `<!doctype html><table><tr><td data-surface="x">`, `%s`, `</td><td>tail</table>`},
	{"div in td", `<!doctype html><table><tr><td><div data-surface="x">`, `%s`, `</div></td><td>tail</table>`},
	{"span", `<!doctype html><body><p>a <span data-surface="x">`, `%s`, `</span> tail</p>`},
	{"p", `<!doctype html><body><p data-surface="x">`, `%s`, `</p><p>tail`},
	{"before div", `%s<div data-surface="x">`, `old`, `</div>tail`},
	{"before div, body", `<!doctype html><body>%s<div data-surface="x">`, `old`, `</div>tail`},
	{"before li", `<!doctype html><body><section>%s<ul><li data-surface="x">`, `old<b>er</b>`, `</li><li>tail</ul></section>`},
	{"after div", `<!doctype html><body><div data-surface="x">`, `old`, `</div>%s`},
	{"after div, quirks", `<div data-surface="x">`, `old`, `</div>%s`},
}

func (s setting) with(input string) setting {
	s.before = strings.Replace(s.before, "%s", input, 1)
	s.content = strings.Replace(s.content, "%s", input, 1)
	s.after = strings.Replace(s.after, "%s", input, 1)
	return s
}

func (s setting) page() string { return s.before + s.content + s.after }

// chromiumOperations are all but Auto, which comes to one of them.
var chromiumOperations = []rewrite.Operation{
	rewrite.Inner, rewrite.Outer, rewrite.Before, rewrite.After, rewrite.Prepend,
	rewrite.Append, rewrite.Text, rewrite.Attr, rewrite.Remove, rewrite.Shadow,
}

// chromiumFragments: what goes into a region, most fitting first.
var chromiumFragments = []string{
	"new <b>text</b>",
	"<p>new <b>and</b> <a href=#>more</a></p>",
	"",
	"<h2>new</h2><ul><li>one<li>two</ul><img src=x>",
	"new",
	"<form><label><input></label><button>go</button></form>",
	"<table><tr><td>1<td>2</table>",
	"<svg viewBox='0 0 1 1'><title>x</title><path d='M0'/></svg><select><option>1<option>2</select>",
	"<style>a > b {}</style><noscript>off</noscript><!-- c -->",
}

var chromiumTexts = []string{"a < b &amp; c", "\n<b>no tag</b>\n", "é\u2028\"'</div>", ""}

var chromiumAttributes = []rewrite.Attribute{
	{Name: "title", Value: "a \"b\" 'c' <d> &amp; e"},
	{Name: "class", Value: "one two"},
	{Name: "id", Remove: true},
	{Name: "hidden"},
}

var chromiumAll = flag.String("chromium", "sample", "how much TestChromium does: sample, or all (minutes)")

// sampled is how much is done: with -short, else, and with -chromium=all.
func sampled[T any](short, usual, all T) T {
	switch {
	case *chromiumAll == "all":
		return all
	case testing.Short():
		return short
	}
	return usual
}

// hostileInputs are those of the html5lib tree construction suite as they ship
// with x/net, each once.
func hostileInputs(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var inputs []string
	root := filepath.Join(strings.TrimSpace(string(out)), "html", "testdata")
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".dat" {
			return err
		}
		b, err := os.ReadFile(path)
		for test := range strings.SplitSeq(string(b), "#data\n") {
			if input, _, ok := strings.Cut(test, "\n#errors\n"); ok {
				inputs = append(inputs, strings.ToValidUTF8(input, "\ufffd"))
			}
		}
		return err
	})
	slices.Sort(inputs)
	inputs = slices.Compact(inputs)
	if err != nil || len(inputs) < 1000 {
		t.Fatalf("x/net comes without the html5lib inputs: %d below %s, %v", len(inputs), root, err)
	}
	return inputs
}

// TestChromium holds rewritten pages against what Chromium builds of them: a
// changed page must parse to the tree of the page with the change made in it,
// whether the parser's scripting flag is on or not.
func TestChromium(t *testing.T) {
	c := startChromium(t)
	inputs := hostileInputs(t)
	var some []string
	for i := 0; i < len(inputs); i += sampled(8, 4, 1) {
		some = append(some, inputs[i])
	}
	t.Run("scripting", c.scripting)
	t.Run("loading", func(t *testing.T) { c.loading(t, some) })
	t.Run("differences", func(t *testing.T) { c.differences(t, some) })
	t.Run("edits", c.edits)
	t.Run("naive", func(t *testing.T) { c.naive(t, some) })
	for i, op := range chromiumOperations {
		t.Run(string(op), func(t *testing.T) { c.hostile(t, op, i, inputs) })
	}
	t.Run("edges", c.edges)
	t.Run("soup", c.soup)
	t.Run("wild", c.wild)
	t.Run("reach", func(t *testing.T) { c.reachable(t, inputs) })
	t.Run("pages", c.realPages)
	if call[bool](t, c, "harmed", nil) {
		t.Error("a page's script ran: the trees may be wrong")
	}
}

// scripting checks that the two modes are what they say.
func (c *chromium) scripting(t *testing.T) {
	trees := call[[][]string](t, c, "dump", []string{"<noscript><b>text</b></noscript><script>top.harmed = true; document.write('<' + 'hr>')</script><img src=x onerror='top.harmed = true'>"})
	on, off := trees[0][0], trees[0][1]
	if !strings.Contains(on, `"<b>text</b>"`) || !strings.Contains(off, "<b>\n") || strings.Contains(on+off, "<hr>") {
		t.Errorf("on:\n%s\noff:\n%s", on, off)
	}
}

// loading checks that documents written by a script are built as those that
// come over the network are.
func (c *chromium) loading(t *testing.T, inputs []string) {
	const step = 4
	urls := []string{"/page/0"}
	c.pages = []string{"<div><template shadowrootmode=open><p>shadow</template>light<noscript><p>text</div>"}
	for i := 0; i < len(inputs); i += step {
		page := inputs[i]
		if i/step%2 == 0 {
			page = chromiumSettings[i%len(chromiumSettings)].with(page).page()
		}
		urls = append(urls, fmt.Sprint("/page/", len(c.pages)))
		c.pages = append(c.pages, page)
	}
	written := call[[][]string](t, c, "dump", c.pages)
	loaded := call[[]string](t, c, "load", urls)
	for i, tree := range loaded {
		if written[i][0] != tree {
			t.Errorf("%q\nwritten\n%s\nloaded\n%s", c.pages[i], written[i][0], tree)
		}
	}
	t.Logf("%d documents loaded over the network have the trees that they have written by a script", len(loaded))
}

// edits checks that the judge takes each operation's right outcome and no
// other's.
func (c *chromium) edits(t *testing.T) {
	const (
		start    = `<div id="i" data-surface="x" class="old">`
		content  = `old <b>text</b>`
		before   = `<!doctype html><body><p>a</p>`
		after    = `<p>tail`
		fragment = `<em>new</em>`
	)
	page := func(region string) string { return before + region + after }
	outcomes := map[rewrite.Operation]string{
		rewrite.Inner:   page(start + fragment + "</div>"),
		rewrite.Outer:   page(fragment),
		rewrite.Before:  page(fragment + start + content + "</div>"),
		rewrite.After:   page(start + content + "</div>" + fragment),
		rewrite.Prepend: page(start + fragment + content + "</div>"),
		rewrite.Append:  page(start + content + fragment + "</div>"),
		rewrite.Text:    page(start + "&lt;em>new&lt;/em></div>"),
		rewrite.Attr:    page(`<div title="a &quot;b&quot; 'c' <d> &amp;amp; e" data-surface=x class="one two" hidden>` + content + "</div>"),
		rewrite.Remove:  page(""),
		rewrite.Shadow:  page(start + "<template shadowrootmode=open>" + fragment + "</template>" + content + "</div>"),
	}
	outs := slices.Collect(maps.Values(outcomes))
	var all []comparison
	for op := range outcomes {
		all = append(all, comparison{Page: page(start + content + "</div>"), Operation: op, HTML: fragment, Attributes: chromiumAttributes, Outs: outs, Trees: true})
	}
	for i, found := range c.compare(t, all) {
		for j, d := range found {
			if right := outs[j] == outcomes[all[i].Operation]; right && d != nil {
				t.Errorf("%s: %q, scripting %s\nwant\n%s\nhave\n%s", all[i].Operation, outs[j], d.Mode, d.Want, d.Have)
			} else if !right && d == nil {
				t.Errorf("taken for the outcome of %s: %q", all[i].Operation, outs[j])
			}
		}
	}
}

// naive checks that wrong splices are found: an end is not the next end tag of
// the name.
func (c *chromium) naive(t *testing.T, inputs []string) {
	var trials []trial
	count := &tally{reasons: map[rewrite.Reason]int{}}
	for i := 0; i < len(inputs); i += 4 {
		trials = append(trials, trial{tally: count, page: chromiumSettings[2].with(inputs[i]).page(), surface: rewrite.Surface{Name: "x", Operation: rewrite.Inner, HTML: []byte("new")}})
	}
	made, wrong := c.judge(t, trials, func(_ *testing.T, page string, surface rewrite.Surface) (string, rewrite.Sighting) {
		before, rest, _ := strings.Cut(page, `data-surface="x">`)
		_, after, _ := strings.Cut(rest, "</div>")
		return before + `data-surface="x">` + string(surface.HTML) + "</div>" + after, rewrite.Sighting{State: rewrite.Swappable, Operation: rewrite.Inner}
	})
	if len(wrong) < made/100 {
		t.Errorf("%d of %d naive splices found wrong", len(wrong), made)
	}
	t.Logf("%d of %d naive splices found wrong; one is\n%s", len(wrong), made/2, wrong[0])
}

// maxLeftAlone is how many of the hostile regions that end the page may be left
// alone, in percent.
const maxLeftAlone = 15

// hostile does one operation on the inputs in the settings: Inner in all, any
// other in every fourth; fewer if only a sample is wanted.
func (c *chromium) hostile(t *testing.T, op rewrite.Operation, turn int, inputs []string) {
	var (
		trials []trial
		rows   []fmt.Stringer
	)
	every := sampled(128, 20, 4)
	if op == rewrite.Inner {
		every = sampled(32, 5, 1)
	}
	whole := &tally{name: "all", reasons: map[rewrite.Reason]int{}}
	for j, s := range chromiumSettings {
		count := &tally{name: s.name, reasons: map[rewrite.Reason]int{}}
		rows = append(rows, count)
		for i, input := range inputs {
			if (i+j+turn)%every != 0 {
				continue
			}
			surface := rewrite.Surface{Name: "x", Operation: op}
			switch op {
			case rewrite.Attr:
				surface.Attributes = chromiumAttributes
			case rewrite.Remove:
			case rewrite.Text:
				surface.HTML = []byte(chromiumTexts[(i/every+j)%len(chromiumTexts)])
			default:
				surface.HTML = []byte(chromiumFragments[(i/every+j)%len(chromiumFragments)])
			}
			trials = append(trials, trial{tally: count, page: s.with(input).page(), surface: surface})
		}
	}
	made, wrong := c.judge(t, trials, engine)
	for _, r := range rows {
		whole.add(r.(*tally))
	}
	for i, w := range wrong {
		if i == 10 {
			t.Errorf("and %d more", len(wrong)-i)
			break
		}
		t.Errorf("wrong splice: %s", w)
	}
	for i, s := range chromiumSettings {
		if left := rows[i].(*tally).leftAlone(); op == rewrite.Inner && (s.name == "div" || s.name == "div, page closed") && left > maxLeftAlone {
			t.Errorf("%s: %.1f %% left alone, more than %d", s.name, left, maxLeftAlone)
		}
	}
	t.Logf("%s: %d comparisons in Chromium %s, %d wrong splices\n%s", op, made, c.version, len(wrong),
		table("setting\tregions\tswapped\tmissing\toverlooked\tleft alone %\tby reason %", append(rows, whole)...))
}
