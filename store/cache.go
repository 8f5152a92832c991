package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// maxMerges bounds how often a lookup follows an id to the one it was merged
// into. The writer shortens the paths that it walks.
const maxMerges = 64

// entry is a decoded decision record.
type entry struct {
	unit   segments.Unit
	record segments.Record
	into   string // the visitor that this one was merged into, or empty
	// stale is when the record has to be read anew, in Unix ms: a cohort that it
	// counts on is believed until then, unless its owner speaks up before. 0:
	// never.
	stale int64
}

// cache is the decision cache.
//
// ristretto applies writes asynchronously, so two quick sets of one key may
// leave the older value. Therefore no key is ever set to two values: a key is
// a unit and the generation of the unit's shard, and the generation moves on
// after each durable change. Whoever read Pebble before the change sets a key
// that nobody asks for after it. The exception is an entry that is stale: it is
// read again for as long as it is found.
type cache struct {
	entries     *ristretto.Cache[uint64, *entry]
	generations [4096]atomic.Uint64
	all         atomic.Uint64 // generation of every unit
}

func newCache(bytes int64) (*cache, error) {
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters: bytes / 20, // some ten for each entry that fits
		MaxCost:     bytes,
		BufferItems: 64,
	})
	if err != nil {
		return nil, err
	}
	return &cache{entries: entries}, nil
}

func (c *cache) close() { c.entries.Close() }

// key returns the cache's key for the unit now.
func (c *cache) key(u segments.Unit) uint64 {
	h := hash(u)
	return mix(h ^ mix(c.generations[h%uint64(len(c.generations))].Load()+1+c.all.Load()<<40))
}

// bump makes what is cached of the unit unreachable.
func (c *cache) bump(u segments.Unit) {
	c.generations[hash(u)%uint64(len(c.generations))].Add(1)
}

// bumpAll makes whatever is cached unreachable.
func (c *cache) bumpAll() { c.all.Add(1) }

// get returns the unit's entry under a key. Keys are hashes: the unit is
// compared.
func (c *cache) get(key uint64, u segments.Unit) (*entry, bool) {
	e, ok := c.entries.Get(key)
	if !ok || e.unit != u {
		return nil, false
	}
	return e, true
}

func (c *cache) set(key uint64, e *entry) {
	cost := int64(unsafe.Sizeof(*e)) + int64(len(e.unit.ID)+len(e.record.Account)+len(e.into)) +
		int64(len(e.record.Open))*int64(unsafe.Sizeof(segments.Open{})) +
		int64(len(e.record.Kept))*(int64(unsafe.Sizeof(segments.Kept{}))+events.MaxID/4)
	c.entries.Set(key, e, cost)
}

func hash(u segments.Unit) uint64 {
	h := xxhash.Sum64String(u.ID)
	if u.Who == segments.Account {
		h = ^h
	}
	return h
}

// mix is the finalizer of SplitMix64: a bijection whose output bits all depend
// on all input bits.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Lookup returns the unit that the id stands for now (a visitor may have been
// merged into another) and its decision record. It never waits for a writer,
// and finds nothing if the store failed.
func (s *Store) Lookup(u segments.Unit) (segments.Unit, segments.Record) {
	for range maxMerges {
		e := s.entry(u)
		if e == nil || e.into == "" {
			if e == nil {
				return u, segments.Record{}
			}
			return u, e.record
		}
		u.ID = e.into
	}
	return u, segments.Record{}
}

func (s *Store) entry(u segments.Unit) *entry {
	select {
	case <-s.failed:
		return nil
	default:
	}
	key := s.cache.key(u)
	if e, ok := s.cache.get(key, u); ok && (e.stale == 0 || s.opts.Now().UnixMilli() < e.stale) {
		return e
	}
	e, err := s.readEntry(u)
	if err != nil {
		s.fail(err)
		return nil
	}
	s.cache.set(key, e)
	return e
}

func (s *Store) readEntry(u segments.Unit) (*entry, error) {
	b, err := s.get(unitKey(make([]byte, 0, 64), keyRecord, u))
	if err != nil {
		return nil, err
	}
	e := &entry{unit: u}
	if into, ok := mergedInto(b); ok {
		e.into = into
		return e, nil
	}
	if e.record, err = parseRecord(b); err != nil {
		return nil, err
	}
	return e, s.complete(e, b != nil)
}

// asked is what records leave to those who read them.
type asked struct {
	set     *rules.Set
	program *segments.Program // of the segments that are ready
	cohorts map[segments.Who][]string
	warming map[segments.Key]bool
}

// complete takes the segments that are warming out of a record, and adds those
// that ask for cohorts. Of a unit that nothing is known of, the latter hold only
// if it is a member of one.
func (s *Store) complete(e *entry, known bool) error {
	a := s.asked.Load()
	if len(a.warming) > 0 {
		e.record.Open = slices.DeleteFunc(e.record.Open, func(o segments.Open) bool { return a.warming[o.Segment] })
	}
	if len(a.cohorts[e.unit.Who]) == 0 {
		return nil
	}
	member := map[string]segments.Interval{}
	now := s.opts.Now().UnixMilli()
	for _, name := range a.cohorts[e.unit.Who] {
		v, believed, err := s.membership(name, e.unit)
		if err != nil {
			return err
		}
		if v == (segments.Interval{}) {
			continue
		}
		member[name] = v
		if believed > now && believed != segments.Forever && (e.stale == 0 || believed < e.stale) {
			e.stale = believed
		}
	}
	if !known && len(member) == 0 {
		return nil
	}
	state, err := s.State(e.unit)
	if err != nil {
		return err
	}
	state.Cohorts = func(name string) segments.Interval { return member[name] }
	for _, o := range a.program.Synced(e.unit.Who, state, now) {
		if !a.warming[o.Segment] {
			e.record.Open = append(e.record.Open, o)
		}
	}
	slices.SortStableFunc(e.record.Open, func(a, b segments.Open) int { return cmp.Compare(a.Segment, b.Segment) })
	return nil
}

// A decision record on disk: 'R', the account's length and bytes, then for
// each interval the segment (8 bytes), From and the distance to Until as
// varints, 0 standing for Forever. Before it may stand 'K', the number of kept
// ids, and for each the rule (8 bytes) and the id's length and bytes. Or 'M' and
// the id that the unit was merged into.
func appendRecord(b []byte, r segments.Record) []byte {
	if len(r.Kept) > 0 {
		b = binary.AppendUvarint(append(b, 'K'), uint64(len(r.Kept)))
		for _, k := range r.Kept {
			b = binary.LittleEndian.AppendUint64(b, k.Rule)
			b = append(binary.AppendUvarint(b, uint64(len(k.As))), k.As...)
		}
	}
	b = append(b, 'R')
	b = binary.AppendUvarint(b, uint64(len(r.Account)))
	b = append(b, r.Account...)
	for _, o := range r.Open {
		b = binary.LittleEndian.AppendUint64(b, uint64(o.Segment))
		b = binary.AppendVarint(b, o.From)
		span := uint64(0)
		if o.Until != segments.Forever {
			span = uint64(o.Until - o.From)
		}
		b = binary.AppendUvarint(b, span)
	}
	return b
}

func appendMerged(b []byte, into string) []byte { return append(append(b, 'M'), into...) }

func mergedInto(b []byte) (string, bool) {
	if len(b) == 0 || b[0] != 'M' {
		return "", false
	}
	return string(b[1:]), true
}

var errRecord = errors.New("a decision record is damaged")

// parseKept takes the kept ids off a record.
func parseKept(b []byte) (kept []segments.Kept, rest []byte, err error) {
	if len(b) == 0 || b[0] != 'K' {
		return nil, b, nil
	}
	n, used := binary.Uvarint(b[1:])
	if used <= 0 {
		return nil, nil, errRecord
	}
	for b = b[1+used:]; n > 0; n-- {
		if len(b) < 8 {
			return nil, nil, errRecord
		}
		size, used := binary.Uvarint(b[8:])
		if used <= 0 || size > uint64(len(b)-8-used) {
			return nil, nil, errRecord
		}
		end := 8 + used + int(size)
		kept = append(kept, segments.Kept{Rule: binary.LittleEndian.Uint64(b), As: string(b[8+used : end])})
		b = b[end:]
	}
	return kept, b, nil
}

func parseRecord(b []byte) (segments.Record, error) {
	var r segments.Record
	if len(b) == 0 {
		return r, nil
	}
	kept, b, err := parseKept(b)
	if err != nil || len(b) == 0 || b[0] != 'R' {
		return r, errRecord
	}
	r.Kept = kept
	b = b[1:]
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return r, errRecord
	}
	r.Account = string(b[used : used+int(n)])
	b = b[used+int(n):]
	for len(b) > 0 {
		if len(b) < 10 {
			return r, errRecord
		}
		o := segments.Open{Segment: segments.Key(binary.LittleEndian.Uint64(b))}
		b = b[8:]
		from, used := binary.Varint(b)
		if used <= 0 {
			return r, errRecord
		}
		b = b[used:]
		span, used := binary.Uvarint(b)
		if used <= 0 {
			return r, errRecord
		}
		b = b[used:]
		o.From, o.Until = from, segments.Forever
		if span != 0 {
			o.Until = from + int64(span)
		}
		r.Open = append(r.Open, o)
	}
	return r, nil
}

// State returns a unit's state, for explaining; the empty state if nothing is
// known of the unit.
func (s *Store) State(u segments.Unit) (*segments.State, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	b, err := s.get(unitKey(nil, keyState, u))
	if err != nil {
		return nil, err
	}
	state, err := segments.DecodeState(b)
	if err != nil {
		return nil, err
	}
	state.Cohorts = func(name string) segments.Interval {
		v, _, err := s.membership(name, u)
		if err != nil {
			s.fail(err)
		}
		return v
	}
	return state, nil
}
