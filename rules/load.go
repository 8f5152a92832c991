package rules

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed14307185/refract/rewrite/selector"
	"github.com/seed14307185/refract/segments"
)

// Load reads, validates and compiles a site directory. Its error, if the
// directory could be read at all, is Problems: everything that is wrong, in
// the order of file and line. It looks up environment variables for the values
// "env:NAME" of refract.yaml.
func Load(dir string) (*Set, error) {
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("site directory %s: %w\nhint: refract init %s writes one, --site says where another is", dir, fs.ErrNotExist, dir)
	case err != nil:
		return nil, fmt.Errorf("site directory %s: %w", dir, err)
	case !info.IsDir():
		return nil, fmt.Errorf("site directory %s: it is not a directory", dir)
	}
	d := &directory{root: dir}
	s := d.load()
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	s.Warnings = d.warnings.sorted()
	return s, nil
}

// LoadEdge reads refract.yaml alone, for who has to know where a running
// refract listens. Its error is Problems, as that of Load.
func LoadEdge(dir string) (Edge, error) {
	d := &directory{root: dir}
	e := d.edge()
	if len(d.problems) > 0 {
		return e, d.problems.sorted()
	}
	return e, nil
}

// load reads everything. What it returns is complete only if there are no
// problems.
func (d *directory) load() *Set {
	s := &Set{Dir: d.root}
	s.Edge = d.edge()
	known := &parts{
		segments:  map[string]*segments.Segment{},
		surfaces:  map[string]*Surface{},
		responses: map[string][]byte{},
		shown:     map[string]bool{},
		mark:      s.Edge.Attribute,
		policy:    s.Edge.Approvals,
	}
	d.strays()
	approvers := d.approvers()
	var refs []reference
	for _, f := range d.list(segmentsDir, ".yaml") {
		segment := segments.Segment{Name: f.name}
		if v, ok := d.parse(f); ok {
			segment = readSegment(f.name, v, &refs)
		}
		s.Segments = append(s.Segments, segment)
	}
	for i := range s.Segments {
		known.segments[s.Segments[i].Name] = &s.Segments[i]
	}
	resolve(refs, known.segments)
	for _, f := range d.list(surfacesDir, ".yaml") {
		surface := &Surface{Name: f.name, MaxBytes: maxFile}
		if v, ok := d.parse(f); ok {
			surface = readSurface(f.name, v, s.Edge.Approvals)
		}
		s.Surfaces = append(s.Surfaces, surface)
		known.surfaces[f.name] = surface
	}
	for _, f := range d.list(responsesDir, ".html") {
		if !f.bad {
			d.problems = append(d.problems, checkFragment(f.path, f.data, s.Edge.Attribute)...)
		}
		known.responses[f.name+".html"] = f.data
	}
	d.rules(s, known)
	for _, name := range keys(known.responses) {
		if !known.shown[name] {
			d.warn(responsesDir+"/"+name, "", "no rule shows it")
		}
	}
	if len(d.problems) > 0 {
		return s
	}
	d.compile(s, approvers)
	d.warnCohorts(s)
	d.warnStops(s)
	d.warnValues(s)
	return s
}

// edge reads refract.yaml.
func (d *directory) edge() Edge {
	if _, err := os.Lstat(filepath.Join(d.root, edgeFile)); errors.Is(err, fs.ErrNotExist) {
		hint := "refract init writes one"
		if _, err := os.Lstat(filepath.Join(d.root, "refract.yml")); err == nil {
			hint = "rename refract.yml to refract.yaml"
		}
		d.refuse(edgeFile, hint, "is missing")
		return Edge{Attribute: DefaultAttribute}
	}
	v, ok := d.parse(d.read(edgeFile))
	if !ok {
		return Edge{Attribute: DefaultAttribute}
	}
	return readEdge(v)
}

// rules reads rules/ and checks how the rules go together.
func (d *directory) rules(s *Set, known *parts) {
	nobody := len(s.Edge.Identity.Account) == 0 && !s.Edge.tellsAccounts()
	type place struct {
		surface  string
		priority int
	}
	first := map[place]*Rule{}
	for _, f := range d.list(rulesDir, ".yaml") {
		v, ok := d.parse(f)
		if !ok {
			continue
		}
		r := readRule(f.name, v, known)
		s.Rules = append(s.Rules, r)
		if nobody && (r.Unit == segments.Account || r.Segment != nil && r.Segment.Who == segments.Account) {
			v.warn("set identity.account or a source in refract.yaml", "the rule is about accounts, and nothing says which account a visitor belongs to")
		}
		if r.State != Live || r.Surface.Name == "" {
			continue
		}
		at := place{r.Surface.Name, r.Priority}
		if other := first[at]; other != nil {
			field, _ := v.open("")
			field.get("priority").refuse("give them different priorities: the highest one whose segment holds applies, for example priority: 10",
				"rules %q and %q are both live on surface %q with priority %d", other.Name, r.Name, at.surface, at.priority)
			continue
		}
		first[at] = r
	}
}

// compile turns what was read into what decides. Nothing read is wrong.
func (d *directory) compile(s *Set, approvers []approver) {
	for _, segment := range s.Segments {
		if _, err := segments.Compile([]segments.Segment{segment}, s.Edge.Late); err != nil {
			d.refuse(segmentsDir+"/"+segment.Name+".yaml", "", "%v", err)
		}
	}
	if len(d.problems) > 0 {
		return
	}
	var err error
	if s.Program, err = segments.Compile(s.Segments, s.Edge.Late); err != nil {
		d.refuse(segmentsDir, "", "%v", err)
		return
	}
	for _, r := range s.Rules {
		r.segment = r.Segment.Key()
		r.Version, r.Content = r.version(), r.content()
	}
	d.approvals(s, approvers)
	for _, r := range s.Rules {
		if r.State == Live && !s.Edge.Off && !r.approved.never {
			s.live = append(s.live, r)
		}
	}
	if n := selecting(s.live); n > selector.MaxSelectors {
		d.refuse(surfacesDir, "mark some of the regions in the app instead", "live rules use %d surfaces with select: %d are possible", n, selector.MaxSelectors)
		return
	}
	slices.SortFunc(s.live, func(a, b *Rule) int {
		return cmp.Or(-cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Name, b.Name))
	})
	s.Revision = revision(d.files)
	s.Files = make(map[string][]byte, len(d.files))
	for _, f := range d.files {
		s.Files[f.path] = f.data
	}
}

// selecting is how many surfaces of the rules have a selector.
func selecting(live []*Rule) int {
	selectors := map[*Surface]bool{}
	for _, r := range live {
		if r.Surface.Select != "" {
			selectors[r.Surface] = true
		}
	}
	return len(selectors)
}
