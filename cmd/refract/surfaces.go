package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/selector"
)

func newSurfacesCommand() *cobra.Command {
	var f surfacesFlags
	cmd := &cobra.Command{
		Use:   "surfaces URL|FILE|-...",
		Short: "List the tagged regions of pages, whether each can be swapped safely, and why not",
		Long: "List the tagged regions of pages, whether each can be swapped safely, and why not.\n\n" +
			"A page is fetched, or read from a file or standard input. Of each region it is told whether\n" +
			"the operation inner is safe on the page as it was served, and which one auto would choose:\n" +
			"none where neither is. BYTES is the region's content as a parser writes it. Exit status 1:\n" +
			"there is a region that can't be swapped, or a page that can't be read.",
		Example: "  refract surfaces https://app.example.com/projects/1\n" +
			"  refract surfaces --select 'main > .card:first-child' saved.html",
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.attribute, "attribute", rewrite.DefaultAttribute, "the attribute that marks surfaces")
	flags.StringArrayVar(&f.selects, "select", nil, "a CSS selector to try, as in a surface's file")
	flags.StringVar(&f.charset, "charset", "", "the charset of files, as a server would declare it (default: the page's own declaration)")
	flags.StringVar(&f.coding, "coding", "auto", "the content coding of files: gzip, br, zstd, deflate, identity, or auto to tell gzip and zstd by their first bytes")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

type surfacesFlags struct {
	attribute       string
	selects         []string
	charset, coding string
	json            bool
}

// pageReport is what there is to say of a page.
type pageReport struct {
	Page      string          `json:"page"`
	Charset   string          `json:"charset"`
	Coding    string          `json:"coding"`
	Framework string          `json:"framework,omitempty"` // that hydrates it
	Surfaces  []surfaceReport `json:"surfaces"`
}

// surfaceReport is what there is to say of one region of a page.
type surfaceReport struct {
	Name    string `json:"name,omitempty"`
	Select  string `json:"select,omitempty"`
	Element string `json:"element,omitempty"`
	Line    int    `json:"line,omitempty"`
	Bytes   int    `json:"bytes"` // of its content, as UTF-8
	Count   int    `json:"count"`
	Within  string `json:"within,omitempty"` // the marked region around it
	Safe    bool   `json:"safe"`
	// Operation is what auto would choose, if it is safe.
	Operation rewrite.Operation `json:"operation,omitempty"`
	Reason    rewrite.Reason    `json:"reason,omitempty"` // why it is not safe
	Why       string            `json:"why,omitempty"`    // the same in words
	Inner     outcome           `json:"inner"`
	Auto      outcome           `json:"auto"`
}

func (f *surfacesFlags) run(cmd *cobra.Command, args []string) error {
	for _, css := range f.selects {
		if _, err := selector.Parse(css); err != nil {
			return usageErrorf("--select %q: %w", css, err)
		}
	}
	reports := []*pageReport{}
	var errs []error
	for _, arg := range args {
		r, err := f.report(cmd, arg)
		if wrong := (usageError{}); errors.As(err, &wrong) {
			return err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		reports = append(reports, r)
		if unsafe := r.unsafe(); unsafe > 0 {
			errs = append(errs, fmt.Errorf("%s: %d of %d regions can't be swapped safely", r.Page, unsafe, len(r.Surfaces)))
		}
		if f.json {
			continue
		}
		if err := r.print(cmd.OutOrStdout()); err != nil {
			return err
		}
	}
	if f.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(reports); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func (f *surfacesFlags) report(cmd *cobra.Command, arg string) (*pageReport, error) {
	var p *page
	var err error
	if isURL(arg) {
		p, err = fetchPage(cmd.Context(), arg)
	} else if p, err = filePage(arg, cmd.InOrStdin(), f.coding); p != nil && f.charset != "" {
		p.contentType = "text/html; charset=" + f.charset
	}
	if err != nil {
		return nil, err
	}
	d, err := p.parse()
	if err != nil {
		return nil, err
	}
	report := &pageReport{Page: p.name, Charset: d.charset, Coding: p.coding.String(), Framework: rewrite.DetectFramework(p.body), Surfaces: []surfaceReport{}}
	regions := d.marked(f.attribute)
	for _, css := range f.selects {
		regions = append(regions, &found{name: css, selector: true, nodes: d.Find(css).Nodes})
	}
	for _, r := range regions {
		s, err := f.look(p, d, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		report.Surfaces = append(report.Surfaces, s)
	}
	return report, nil
}

// look says what there is to say of one region.
func (f *surfacesFlags) look(p *page, d *dom, r *found) (surfaceReport, error) {
	wanted := rewrite.Surface{Name: r.name}
	s := surfaceReport{Name: r.name, Count: len(r.nodes)}
	if r.selector {
		wanted.Select = r.name
		s.Name, s.Select = "", r.name
	}
	if len(r.nodes) > 0 {
		first := r.nodes[0]
		s.Element, s.Line, s.Within = first.Data, d.line[first], f.around(first)
		content, err := d.FindNodes(first).Html()
		if err != nil {
			return s, err
		}
		s.Bytes = len(content)
	}
	for _, o := range []struct {
		op rewrite.Operation
		to *outcome
	}{{rewrite.Inner, &s.Inner}, {rewrite.Auto, &s.Auto}} {
		wanted.Operation = o.op
		seen, err := p.observe(rewrite.Plan{Attribute: f.attribute, Surfaces: []rewrite.Surface{wanted}})
		if err != nil {
			return s, err
		}
		*o.to = outcomeOf(seen)
		// A parser finds them all, the rewriter as many as it needs.
		s.Element, s.Count = cmp.Or(s.Element, seen.Element), max(s.Count, seen.Count)
	}
	switch {
	case r.name == "":
		s.Why = "the mark has no name"
	case s.Auto.State == rewrite.Swappable:
		s.Safe, s.Operation = true, s.Auto.Operation
	case s.Auto.State == rewrite.Missing && s.Count > 0:
		s.Why = "it is not part of what browsers show"
	case s.Auto.State == rewrite.Missing:
		s.Why = "nothing on the page matches the selector"
	default:
		s.Reason, s.Why = s.Auto.Reason, reasonWords[s.Auto.Reason]
	}
	return s, nil
}

// around is the name of the marked region that n is in, or nothing.
func (f *surfacesFlags) around(n *html.Node) string {
	for a := range n.Ancestors() {
		i := slices.IndexFunc(a.Attr, func(attr html.Attribute) bool {
			return attr.Namespace == "" && strings.EqualFold(attr.Key, f.attribute)
		})
		if i >= 0 {
			return a.Attr[i].Val
		}
	}
	return ""
}

// observe looks for the plan's only surface, and changes nothing.
func (p *page) observe(plan rewrite.Plan) (rewrite.Sighting, error) {
	program, err := rewrite.Compile(plan)
	if err != nil {
		return rewrite.Sighting{}, err
	}
	r := program.NewReader(bytes.NewReader(p.body), p.contentType)
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return rewrite.Sighting{}, err
	}
	return r.Sightings()[0], r.Fault()
}

func (r *pageReport) unsafe() int {
	n := 0
	for _, s := range r.Surfaces {
		if !s.Safe {
			n++
		}
	}
	return n
}

func (r *pageReport) print(out io.Writer) error {
	fmt.Fprintf(out, "%s: charset %s, coding %s, framework %s\n", r.Page, r.Charset, r.Coding, cmp.Or(r.Framework, "none seen"))
	if len(r.Surfaces) == 0 {
		_, err := fmt.Fprint(out, "no region is marked\n\n")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REGION\tELEMENT\tLINE\tBYTES\tTIMES\tINNER\tAUTO\tREMARKS")
	for _, s := range r.Surfaces {
		inner, auto := cmp.Or(string(s.Inner.Reason), string(s.Inner.State)), "none"
		if s.Inner.State == rewrite.Swappable {
			inner = "safe"
		}
		if s.Safe {
			auto = string(s.Operation)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", cmp.Or(s.Name, s.Select, `""`), cmp.Or(s.Element, "-"), lineText(s.Line), s.Bytes, s.Count, inner, auto, s.remarks())
	}
	fmt.Fprintln(w)
	return w.Flush()
}

func lineText(line int) string {
	if line == 0 {
		return "-"
	}
	return fmt.Sprint(line)
}

func (s *surfaceReport) remarks() string {
	var all []string
	if s.Why != "" {
		all = append(all, s.Why)
	}
	if s.Count > 1 {
		all = append(all, "only the first one is changed")
	}
	if s.Within != "" {
		all = append(all, fmt.Sprintf("it is within %s: a page changes one of the two", s.Within))
	}
	return strings.Join(all, "; ")
}

// reasonWords say why a region is left alone, to people who don't know how
// pages are parsed.
var reasonWords = map[rewrite.Reason]string{
	rewrite.Unclosed:   "its end tag is missing or misplaced, so where it ends is not certain",
	rewrite.Ambiguous:  "browsers move things across its borders, so what it holds is not certain",
	rewrite.Nested:     "it is within another region that is changed",
	rewrite.NotABlock:  "such an element has no content to be changed: mark a div, section, main, heading or paragraph",
	rewrite.ShadowRoot: "it has a shadow root of the app's own",
	rewrite.Host:       "the app takes the page over in the browser, and this element can't hold new content then: mark a div, section, heading or paragraph around or in it",
	rewrite.TooLarge:   "it is larger than 256 KiB: mark a smaller one",
	rewrite.Fragment:   "new content would not stay within it here",
	rewrite.Charset:    "the page's charset is unknown, or can't be changed on its way to the browser: serve it as UTF-8",
	rewrite.Foreign:    "it is in a drawing or formula, or one before it is not well-formed",
	rewrite.Table:      "a table that it is in, or one before it, has content where only rows and cells may be",
	rewrite.Select:     "it is in a select, or one before it has more than options",
	rewrite.Template:   "it is a template, which browsers don't show",
	rewrite.Noscript:   "a noscript before it, or around it, is not closed in itself",
	rewrite.Frameset:   "the page may turn out to be made of frames",
	rewrite.Plaintext:  "it comes after a plaintext tag, after which nothing is markup",
	rewrite.Misnested:  "tags such as b, i or a overlap with it, or many of them with blocks before it",
	rewrite.TooDeep:    "elements are nested too deep",
	rewrite.Internal:   "the rewriter failed on this page: please report it",
}
