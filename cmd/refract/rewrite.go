package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rewrite/coding"
	"github.com/seed14307185/refract/rewrite/selector"
	"github.com/seed14307185/refract/rules"
)

func newRewriteCommand() *cobra.Command {
	var f rewriteFlags
	cmd := &cobra.Command{
		Use:   "rewrite --set NAME=FILE|--select CSS=FILE... [PAGE|-]",
		Short: "Swap regions of a page on disk or on standard input, to standard output",
		Long: "Swap regions of a page on disk or on standard input, to standard output.\n\n" +
			"What became of each surface is told on standard error. FILE is the region's new content;\n" +
			"an empty FILE (--set NAME=) only looks for the region. The operations attr and remove take\n" +
			"no FILE: --op remove --set NAME. Only a page that can't be read, or written, is an error:\n" +
			"a surface that is missing or untouched is not.",
		Example: "  refract rewrite --set home.card=new.html page.html\n" +
			"  refract rewrite --select 'main > .hero=new.html' --op prepend page.html\n" +
			"  refract rewrite --set home.link --op attr --attr href=/new --attr disabled page.html",
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.sets, "set", nil, "NAME=FILE: the surface and the file with its new content")
	flags.StringArrayVar(&f.selects, "select", nil, "CSS=FILE: the same, for the first element that matches a selector")
	flags.StringVar(&f.operation, "op", string(rewrite.Inner), "what is done: "+strings.Join(rules.Operations(), ", "))
	flags.StringArrayVar(&f.attrs, "attr", nil, "NAME=VALUE sets and NAME removes an attribute, with --op attr")
	flags.BoolVar(&f.slot, "slot", false, "keep the region's own content in sight, with --op shadow")
	flags.StringVar(&f.attribute, "attribute", rewrite.DefaultAttribute, "the attribute that marks surfaces")
	flags.StringVar(&f.charset, "charset", "", "the page's charset, as a server would declare it (default: the page's own declaration)")
	flags.StringVar(&f.coding, "coding", "identity", "the page's content coding, which the output has too: gzip, br, zstd, deflate, or auto to tell gzip and zstd by their first bytes")
	flags.IntVar(&f.chunk, "chunk", 0, "read the page in pieces of N bytes (0: as they come)")
	flags.BoolVar(&f.json, "json", false, "tell what became of the surfaces as JSON, one object a line")
	flags.BoolVar(&f.trace, "trace", false, "tell on standard error, token by token, what the page is taken for and why a region is changed or left")
	return cmd
}

type rewriteFlags struct {
	sets, selects, attrs []string
	operation            string
	slot                 bool
	attribute, charset   string
	coding               string
	chunk                int
	json, trace          bool
}

func (f *rewriteFlags) run(cmd *cobra.Command, args []string) error {
	plan, err := f.plan()
	if err != nil {
		return err
	}
	if f.chunk < 0 {
		return usageErrorf("--chunk must not be negative")
	}
	program, err := rewrite.Compile(plan)
	if err != nil {
		return usageError{err}
	}
	page := cmd.InOrStdin()
	if len(args) == 1 && args[0] != "-" {
		file, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		page = file
	}
	if f.chunk > 0 {
		page = &chunkReader{page, f.chunk}
	}
	page, c, err := codingOf(f.coding, page)
	if err != nil {
		return err
	}
	if c != coding.Identity {
		decoder := new(coding.Pool).NewDecoder(page, c)
		defer decoder.Close()
		page = decoder
	}
	contentType := ""
	if f.charset != "" {
		contentType = "text/html; charset=" + f.charset
	}
	r := program.NewReader(page, contentType)
	defer r.Close()
	if f.trace {
		r.Trace(cmd.ErrOrStderr())
	}
	page = r
	if c != coding.Identity {
		encoder := new(coding.Pool).NewEncoder(page, c)
		defer encoder.Close()
		page = encoder
	}
	switch _, err := io.Copy(cmd.OutOrStdout(), page); {
	case errors.Is(err, syscall.EPIPE):
		return nil // whoever reads has seen enough
	case err != nil:
		return err
	}
	if err := f.tell(cmd, r.Sightings()); err != nil {
		return err
	}
	if err := r.Fault(); err != nil {
		return fmt.Errorf("the rest of the page went through as it was: %w", err)
	}
	return nil
}

func (f *rewriteFlags) plan() (rewrite.Plan, error) {
	plan := rewrite.Plan{Attribute: f.attribute}
	op := rewrite.Operation(f.operation)
	switch {
	case len(f.sets)+len(f.selects) == 0:
		return plan, usageErrorf("--set NAME=FILE or --select CSS=FILE is needed at least once")
	case !slices.Contains(rules.Operations(), f.operation):
		return plan, usageErrorf("--op %q is not one of %s", f.operation, strings.Join(rules.Operations(), ", "))
	case (op == rewrite.Attr) != (len(f.attrs) > 0):
		return plan, usageErrorf("--op attr and --attr need each other")
	case f.slot && op != rewrite.Shadow:
		return plan, usageErrorf("--slot needs --op shadow")
	}
	template := rewrite.Surface{Operation: op, Slot: f.slot}
	for _, attr := range f.attrs {
		name, value, set := strings.Cut(attr, "=")
		if name == "" {
			return plan, usageErrorf("--attr %q is neither NAME=VALUE nor NAME", attr)
		}
		template.Attributes = append(template.Attributes, rewrite.Attribute{Name: name, Value: value, Remove: !set})
	}
	for _, set := range f.sets {
		s, err := withContent(template, "--set", "NAME", set)
		if err != nil {
			return plan, err
		}
		plan.Surfaces = append(plan.Surfaces, s)
	}
	for _, set := range f.selects {
		s, err := withContent(template, "--select", "CSS", set)
		if err != nil {
			return plan, err
		}
		plan.Surfaces = append(plan.Surfaces, s)
	}
	return plan, nil
}

// withContent returns the surface that WHAT=FILE, or WHAT for an operation
// without content, stands for. FILE is what follows the last "=": a selector
// may have some.
func withContent(s rewrite.Surface, flag, what, value string) (rewrite.Surface, error) {
	i := strings.LastIndexByte(value, '=')
	file := value[i+1:]
	if bare := s.Operation == rewrite.Attr || s.Operation == rewrite.Remove; bare {
		if i != len(value)-1 {
			i, s.Replace = len(value), true
		}
		file = ""
	}
	if i < 1 {
		return s, usageErrorf("%s %q is not %s=FILE", flag, value, what)
	}
	s.Name = value[:i]
	if flag == "--select" {
		s.Select = s.Name
		if _, err := selector.Parse(s.Select); err != nil {
			return s, usageErrorf("%s %q: %w", flag, s.Select, err)
		}
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("%s %s: %w", flag, s.Name, err)
		}
		s.Replace, s.HTML = true, b
	}
	return s, nil
}

// outcome is what became of one surface.
type outcome struct {
	Name      string            `json:"name"`
	State     rewrite.State     `json:"state"`
	Reason    rewrite.Reason    `json:"reason,omitempty"`
	Operation rewrite.Operation `json:"operation,omitempty"`
	Element   string            `json:"element,omitempty"`
	Offset    *int64            `json:"offset,omitempty"` // in the page, in bytes; none if nothing was met
	Count     int               `json:"count"`
}

func outcomeOf(s rewrite.Sighting) outcome {
	o := outcome{Name: s.Name, State: s.State, Reason: s.Reason, Operation: s.Operation, Element: s.Element, Count: s.Count}
	if s.Element != "" {
		o.Offset = &s.Offset
	}
	return o
}

func (f *rewriteFlags) tell(cmd *cobra.Command, sightings []rewrite.Sighting) error {
	out := json.NewEncoder(cmd.ErrOrStderr())
	out.SetEscapeHTML(false)
	for _, s := range sightings {
		if f.json {
			if err := out.Encode(outcomeOf(s)); err != nil {
				return err
			}
			continue
		}
		line := s.Name + ": " + string(s.State)
		if s.Reason != "" {
			line += " (" + string(s.Reason) + ")"
		} else if s.State == rewrite.Swappable && s.Operation != rewrite.Inner {
			line += " by " + string(s.Operation)
		}
		if s.Count > 1 {
			line += fmt.Sprintf(", %d times", s.Count)
		}
		cmd.PrintErrln(line)
	}
	return nil
}

// chunkReader reads at most n bytes at a time.
type chunkReader struct {
	r io.Reader
	n int
}

func (c *chunkReader) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }
