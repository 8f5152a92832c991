package simulate

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"sync"

	"github.com/seed14307185/refract/events"
)

// piles is how many parts the units are divided into.
const piles = 64

// chunkSize is how many bytes of items a worker collects for a pile before it
// puts them there.
const chunkSize = 32 << 10

// item is what is kept of one event. Ids are hashes; 0 is none.
type item struct {
	at      int64 // Unix milliseconds
	seq     uint64
	visitor uint64
	other   uint64 // an earlier id of the visitor
	account uint64
	id      uint64
	name    uint16 // of plan.heard, or of reached: the rule's index
	kind    kind
	payload []byte // JSON: properties of a track, traits of others
}

type kind uint8

const (
	track kind = iota
	identify
	group
	alias
	reached // a visitor of the account, in the rule's segment, reached the surface
)

func (k kind) event() events.Kind {
	return [...]events.Kind{events.Track, events.Identify, events.Group, events.Alias, ""}[k]
}

// What an encoded item has, beside its time, order and visitor.
const (
	hasOther = 1 << (iota + 3) // below: the kind
	hasAccount
	hasID
	hasName
	hasPayload
)

const fixedSize = 1 + 3*8 // of every encoded item

func (it *item) append(b []byte) []byte {
	flags := byte(it.kind)
	start := len(b)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(it.at))
	b = binary.LittleEndian.AppendUint64(b, it.seq)
	b = binary.LittleEndian.AppendUint64(b, it.visitor)
	for _, f := range [...]struct {
		flag byte
		v    uint64
	}{{hasOther, it.other}, {hasAccount, it.account}, {hasID, it.id}} {
		if f.v != 0 {
			flags |= f.flag
			b = binary.LittleEndian.AppendUint64(b, f.v)
		}
	}
	if it.name != 0 {
		flags |= hasName
		b = binary.LittleEndian.AppendUint16(b, it.name)
	}
	if len(it.payload) > 0 {
		flags |= hasPayload
		b = binary.LittleEndian.AppendUint32(b, uint32(len(it.payload)))
		b = append(b, it.payload...)
	}
	b[start] = flags
	return b
}

// decodeItem reads what append wrote, and how long it is. The payload is part of b.
func decodeItem(b []byte) (it item, n int) {
	flags := b[0]
	it.kind = kind(flags & 7)
	it.at = int64(binary.LittleEndian.Uint64(b[1:]))
	it.seq = binary.LittleEndian.Uint64(b[9:])
	it.visitor = binary.LittleEndian.Uint64(b[17:])
	n = fixedSize
	take := func(flag byte) uint64 {
		if flags&flag == 0 {
			return 0
		}
		n += 8
		return binary.LittleEndian.Uint64(b[n-8:])
	}
	it.other, it.account, it.id = take(hasOther), take(hasAccount), take(hasID)
	if flags&hasName != 0 {
		it.name = binary.LittleEndian.Uint16(b[n:])
		n += 2
	}
	if flags&hasPayload != 0 {
		size := int(binary.LittleEndian.Uint32(b[n:]))
		it.payload = b[n+4 : n+4+size]
		n += 4 + size
	}
	return it, n
}

// sizeOf is how long an encoded item is.
func sizeOf(b []byte) int {
	flags := b[0]
	n := fixedSize + 8*bits.OnesCount8(flags&(hasOther|hasAccount|hasID))
	if flags&hasName != 0 {
		n += 2
	}
	if flags&hasPayload != 0 {
		n += 4 + int(binary.LittleEndian.Uint32(b[n:]))
	}
	return n
}

// heap holds the piles. Safe for concurrent use.
type heap struct {
	limit int64
	dir   string

	mu     sync.Mutex // guards what follows
	held   int64
	chunks [piles][][]byte
	spans  [piles][]span
	file   *os.File
	size   int64 // of the file
}

// span is a chunk in the file.
type span struct {
	at int64
	n  int
}

// put hands a chunk over to a pile.
func (h *heap) put(pile int, chunk []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.chunks[pile] = append(h.chunks[pile], chunk)
	h.held += int64(cap(chunk))
	if h.held <= h.limit {
		return nil
	}
	return h.spill()
}

// spill moves all chunks to the file. The caller holds mu.
func (h *heap) spill() error {
	if h.file == nil {
		file, err := os.CreateTemp(h.dir, "refract-simulate-*")
		if err != nil {
			return fmt.Errorf("the events do not fit into memory, and there is no temporary file for them: %w\nhint: set TMPDIR to a directory with room, or raise --memory", err)
		}
		h.file = file
	}
	for p := range h.chunks {
		for _, chunk := range h.chunks[p] {
			if _, err := h.file.WriteAt(chunk, h.size); err != nil {
				return fmt.Errorf("keeping events in a temporary file: %w\nhint: set TMPDIR to a directory with room, or raise --memory", err)
			}
			h.spans[p] = append(h.spans[p], span{h.size, len(chunk)})
			h.size += int64(len(chunk))
		}
		h.chunks[p] = nil
	}
	h.held = 0
	return nil
}

// take returns a pile's chunks, in no order, and forgets those in memory.
func (h *heap) take(pile int) ([][]byte, error) {
	chunks, err := h.look(pile)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.chunks[pile] {
		h.held -= int64(cap(c))
	}
	h.chunks[pile] = nil
	return chunks, err
}

// look returns a pile's chunks, in no order.
func (h *heap) look(pile int) ([][]byte, error) {
	h.mu.Lock()
	chunks, spans := slices.Clone(h.chunks[pile]), h.spans[pile]
	h.mu.Unlock()
	for _, s := range spans {
		b := make([]byte, s.n)
		if _, err := h.file.ReadAt(b, s.at); err != nil {
			return nil, fmt.Errorf("reading events back from the temporary file: %w", err)
		}
		chunks = append(chunks, b)
	}
	return chunks, nil
}

// close removes the temporary file.
func (h *heap) close() {
	if h.file != nil {
		_ = h.file.Close() // nothing in it is wanted any more
		_ = os.Remove(h.file.Name())
	}
}

// stacker collects one worker's items for the piles of a heap.
type stacker struct {
	heap *heap
	open [piles][]byte
	room []byte
}

func pileOf(id uint64) int { return int(id >> (64 - 6)) }

func (s *stacker) put(pile int, it *item) error {
	s.room = it.append(s.room[:0])
	return s.copy(pile, s.room)
}

// copy puts an item that is encoded already.
func (s *stacker) copy(pile int, item []byte) error {
	b := s.open[pile]
	if len(b) > 0 && len(b)+len(item) > cap(b) {
		if err := s.heap.put(pile, b); err != nil {
			return err
		}
		b = nil
	}
	if b == nil {
		b = make([]byte, 0, max(chunkSize, len(item)))
	}
	s.open[pile] = append(b, item...)
	return nil
}

// flush hands over what is left.
func (s *stacker) flush() error {
	for p, b := range s.open {
		if len(b) == 0 {
			continue
		}
		if err := s.heap.put(p, b); err != nil {
			return err
		}
		s.open[p] = nil
	}
	return nil
}

// each calls do with every item of the chunks, encoded, and its visitor.
func each(chunks [][]byte, do func(visitor uint64, item []byte) error) error {
	for _, c := range chunks {
		for len(c) > 0 {
			n := sizeOf(c)
			if err := do(binary.LittleEndian.Uint64(c[17:]), c[:n]); err != nil {
				return err
			}
			c = c[n:]
		}
	}
	return nil
}

// place is where an item is among chunks, with what it is sorted by.
type place struct {
	at         int64
	seq        uint64
	chunk, off uint32
}

// sorted appends the places of the chunks' items in the order of time, and of
// the files within a millisecond. Of one event, that it reached a surface comes
// first.
func sorted(places []place, chunks [][]byte) []place {
	for i, c := range chunks {
		for off := 0; off < len(c); {
			b := c[off:]
			places = append(places, place{
				int64(binary.LittleEndian.Uint64(b[1:])), binary.LittleEndian.Uint64(b[9:]), uint32(i), uint32(off),
			})
			off += sizeOf(b)
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		case a.seq != b.seq:
			return cmp.Compare(a.seq, b.seq)
		}
		x, _ := decodeItem(chunks[a.chunk][a.off:])
		y, _ := decodeItem(chunks[b.chunk][b.off:])
		return cmp.Or(-cmp.Compare(x.kind, y.kind), cmp.Compare(x.name, y.name))
	})
	return places
}

// persons says which visitors are one person, by union-find. Safe for
// concurrent use.
type persons struct {
	mu     sync.Mutex
	parent map[uint64]uint64
}

func (p *persons) join(a, b uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, b = p.root(a), p.root(b); a != b {
		p.parent[a] = b
	}
}

// root returns the id that stands for the person. The caller holds mu, or
// nobody calls join any more.
func (p *persons) root(id uint64) uint64 {
	for {
		up, ok := p.parent[id]
		if !ok || up == id {
			return id
		}
		if next, ok := p.parent[up]; ok {
			p.parent[id] = next
		}
		id = up
	}
}

// moves returns the ids whose pile is not that of their person, and that one.
func (p *persons) moves() map[uint64]int {
	moves := map[uint64]int{}
	for id := range p.parent {
		if to := pileOf(p.root(id)); to != pileOf(id) {
			moves[id] = to
		}
	}
	return moves
}
