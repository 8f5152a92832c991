package proxy

import (
	"maps"

	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// programs are the decisions of one revision, ready for package rewrite. It is
// immutable: with one more it is another.
type programs struct {
	revision string
	compiled map[string]*program // by programKey
}

// program is a decision, ready for package rewrite.
type program struct {
	*rewrite.Program
	mark string // see markOf
}

// maxPrograms bounds how many decisions are kept ready: pages with k rules that
// the visitor may be in or out of, in either arm, have 3^k. What comes then
// begins anew.
const maxPrograms = 256

// program is the exchange's decision, ready for package rewrite: the same one
// for all who get the same, since its readers' memory is used again.
func (p *Proxy) program(x *Exchange) (*program, error) {
	var room [256]byte
	key := programKey(room[:0], x.Decision)
	known := p.programs.Load()
	if known != nil && known.revision == x.set.Revision {
		if ready := known.compiled[string(key)]; ready != nil {
			return ready, nil
		}
	}
	plan := rewrite.Plan{Attribute: x.set.Edge.Attribute}
	for _, d := range x.Decision {
		plan.Surfaces = append(plan.Surfaces, d.Rule.Change(d.Arm))
	}
	compiled, err := rewrite.Compile(plan)
	if err != nil {
		return nil, err
	}
	ready := &program{compiled, markOf(x.set.Revision, string(key))}
	if p.Current().Revision == x.set.Revision { // else it was asked before a reload, and nobody asks again
		p.keep(x.set.Revision, string(key), ready)
	}
	return ready, nil
}

// keep adds a program. Of another revision nothing stays.
func (p *Proxy) keep(revision, key string, ready *program) {
	for {
		known := p.programs.Load()
		next := &programs{revision, map[string]*program{key: ready}}
		if known != nil && known.revision == revision && len(known.compiled) < maxPrograms {
			maps.Copy(next.compiled, known.compiled)
		}
		if p.programs.CompareAndSwap(known, next) {
			return
		}
	}
}

// programKey appends what tells a decision from the others of its revision.
func programKey(key []byte, d rules.Decision) []byte {
	for _, placed := range d {
		key = append(key, placed.Rule.Version...)
		key = append(key, ' ')
		key = append(key, placed.Rule.Name...)
		key = append(key, ' ')
		key = append(key, placed.Arm...)
		key = append(key, '\n')
	}
	return key
}
