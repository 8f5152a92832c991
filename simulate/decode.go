package simulate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
)

// maxFaults is how many bad lines are shown.
const maxFaults = 10

// BadLine is a line that could not be read.
type BadLine struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"` // in bytes, from 1
	What   string `json:"what"`

	file int
}

func (b BadLine) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", b.File, b.Line, b.Column, b.What)
}

// intake is what the decoders make together. Safe for concurrent use.
type intake struct {
	plan    *plan
	heap    *heap
	persons persons
	told    []atomic.Bool // whether there is an event of each name of the plan

	mu       sync.Mutex // guards what follows
	accounts map[uint64]string
	events   int64
	bad      int64
	first    []BadLine // the first maxFaults of them, in order
	forms    map[string]int64
	from     int64 // of the earliest event
	until    int64 // of the latest event
}

// decoder decodes blocks. Not safe for concurrent use.
type decoder struct {
	in       *intake
	form     string
	out      stacker
	f        *former
	pick     *picker
	seq      uint64 // of the current line
	sub      uint64 // of the current item within it
	known    map[uint64]bool
	joined   map[[2]uint64]bool
	from, to int64
}

func newDecoder(in *intake, form string) *decoder {
	d := &decoder{in: in, form: form, out: stacker{heap: in.heap}, pick: newPicker(), known: map[uint64]bool{}, joined: map[[2]uint64]bool{}}
	d.f = newFormer(in.plan, d.emit)
	return d
}

// block decodes the lines of a block.
func (d *decoder) block(b block) error {
	var events, bad int64
	var faults []BadLine
	forms := map[string]int64{}
	d.from, d.to = 0, 0
	number, rest := b.line, b.data
	for ; len(rest) > 0; number++ {
		raw := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			raw, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		d.seq, d.sub = (b.seq+uint64(cap(b.data)-cap(raw)))<<2, 0
		raw = bytes.TrimSuffix(raw, []byte{'\r'})
		if len(bytes.TrimLeft(raw, " \t")) == 0 {
			continue
		}
		form, err := "", error(nil)
		if b.long {
			err = faultf(0, "the line is longer than %d bytes", maxLine)
		} else {
			form, err = d.f.read(raw, d.form)
		}
		var f *fault
		switch {
		case err == nil:
			events++
			forms[form]++
		case errors.As(err, &f):
			if bad++; len(faults) < maxFaults {
				faults = append(faults, BadLine{Line: number, Column: f.at + 1, What: f.what, file: b.file})
			}
		default:
			return err
		}
	}
	d.in.add(events, bad, faults, forms, d.from, d.to)
	return nil
}

// seen says whether an event of a name was read.
func (in *intake) seen(name string) bool { return in.told[in.plan.names[name]].Load() }

// add adds what a block was.
func (in *intake) add(events, bad int64, faults []BadLine, forms map[string]int64, from, to int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.events += events
	in.bad += bad
	for form, n := range forms {
		in.forms[form] += n
	}
	if to > 0 {
		if in.from == 0 || from < in.from {
			in.from = from
		}
		in.until = max(in.until, to)
	}
	if len(faults) == 0 {
		return
	}
	in.first = append(in.first, faults...)
	slices.SortFunc(in.first, func(a, b BadLine) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.Line, b.Line))
	})
	in.first = in.first[:min(len(in.first), maxFaults)]
}

// emit makes an item of a statement and puts it on its visitor's pile.
func (d *decoder) emit(s *statement) error {
	p := d.in.plan
	it := item{
		at: s.at, seq: d.seq | d.sub, kind: s.kind,
		visitor: hash(s.visitor), other: hash(s.other), id: hash(s.id),
	}
	d.sub++
	if d.from == 0 || it.at < d.from {
		d.from = it.at
	}
	d.to = max(d.to, it.at)
	if it.other != 0 && it.other != it.visitor {
		if pair := [2]uint64{it.visitor, it.other}; !d.joined[pair] {
			d.in.persons.join(it.other, it.visitor)
			if len(d.joined) > 1<<16 {
				clear(d.joined)
			}
			d.joined[pair] = true
		}
	} else {
		it.other = 0
	}
	if p.accounts && len(s.accounts) > 0 {
		it.account = hash(s.accounts)
		if !d.known[it.account] {
			d.known[it.account] = true
			d.in.mu.Lock()
			d.in.accounts[it.account] = strings.Clone(string(s.accounts))
			d.in.mu.Unlock()
		}
	}
	var err error
	switch s.kind {
	case track:
		if it.name = p.names[string(s.name)]; it.name != 0 {
			if told := &d.in.told[it.name]; !told.Load() {
				told.Store(true)
			}
			it.payload, err = d.pick.from(d.f, "properties", s.payload, p.heard[it.name].asked)
		}
	case identify, group:
		it.payload, err = d.pick.from(d.f, "traits", s.payload, p.traits)
	}
	if err != nil {
		return err
	}
	return d.out.put(pileOf(it.visitor), &it)
}

// picker copies those members of objects that are asked for.
type picker struct {
	reader *reader
	out    []byte
}

func newPicker() *picker { return &picker{reader: newReader()} }

// from returns an object of the members asked for: until the next call. It is
// nil if there are none.
func (p *picker) from(f *former, what string, raw []byte, a asked) ([]byte, error) {
	if len(a) == 0 {
		return nil, nil
	}
	raw, err := f.unwrapped(what, raw)
	if err != nil || raw == nil {
		return nil, err
	}
	p.out = p.out[:0]
	err = p.reader.members(raw, func(name, value []byte) {
		if !present(value) && what != "traits" || !slices.Contains(a, string(name)) {
			return
		}
		p.out = append(p.out, "{,"[min(1, len(p.out))])
		p.out, _ = jsontext.AppendQuote(p.out, name) // what is no UTF-8 is U+FFFD
		p.out = append(append(p.out, ':'), value...)
	})
	if err != nil || len(p.out) == 0 {
		return nil, err
	}
	p.out = append(p.out, '}')
	return p.out, nil
}
