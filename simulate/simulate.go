package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
)

// DefaultMemory is Options.Memory where it is 0, in bytes.
const DefaultMemory = 512 << 20

// Options say what is replayed, and how.
type Options struct {
	// Files are JSON Lines, in any order, plain or compressed with gzip or
	// zstd, zip archives and directories of such, or "-" for Stdin.
	Files []string
	Stdin io.Reader
	// Form is one of Forms, or empty: then each line says it by its members.
	Form string
	// Strict: the first bad line is an error.
	Strict bool
	// Group is what names a visitor's account in the forms that have several
	// kinds of group: the group type, and for Mixpanel the group key.
	Group string
	// Memory is how many bytes of events are held before they go to a
	// temporary file; 0 is DefaultMemory. Units come on top: those of a 64th
	// of the events for each worker.
	Memory  int64
	TempDir string // of the temporary file; empty: the system's
	Workers int    // 0: as many as there are processors
	// Now is the present: what is dated later than a day after it is a bad line.
	Now time.Time
}

// StrictError is a bad line where none was allowed.
type StrictError struct{ Line BadLine }

func (e *StrictError) Error() string { return e.Line.String() }

var errStrict = errors.New("a bad line")

// Run replays a history. Lines that can't be read are counted in the report.
func Run(ctx context.Context, set *rules.Set, o Options) (*Report, error) {
	p, err := newPlan(set, o.Group, o.Now)
	if err != nil {
		return nil, err
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	in := &intake{
		plan: p, heap: &heap{limit: o.Memory, dir: o.TempDir}, persons: persons{parent: map[uint64]uint64{}},
		accounts: map[uint64]string{}, forms: map[string]int64{}, told: make([]atomic.Bool, len(p.heard)),
	}
	defer in.heap.close()
	names, err := in.read(ctx, o)
	for i := range in.first {
		in.first[i].File = names[in.first[i].file]
	}
	if errors.Is(err, errStrict) {
		return nil, &StrictError{in.first[0]}
	}
	if err != nil {
		return nil, err
	}
	if in.events == 0 {
		return nil, noEvents(in, o)
	}
	count, err := in.fold(ctx, o)
	if err != nil {
		return nil, err
	}
	return newReport(set, in, names, count), nil
}

func noEvents(in *intake, o Options) error {
	err := fmt.Errorf("there are no events in %s", strings.Join(o.Files, ", "))
	if in.bad > 0 {
		err = fmt.Errorf("%w: %d bad lines, the first: %v", err, in.bad, in.first[0])
	}
	return fmt.Errorf("%w\nhint: one JSON object a line, in one of the forms %s", err, strings.Join(Forms(), ", "))
}

// read decodes all files onto the heap, and returns their names.
func (in *intake) read(ctx context.Context, o Options) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	blocks := make(chan block, o.Workers)
	src := &source{stdin: o.Stdin, blocks: blocks, free: make(chan []byte, 2*o.Workers)}
	var all sync.WaitGroup
	for range o.Workers {
		all.Go(func() {
			d := newDecoder(in, o.Form)
			for b := range blocks {
				if ctx.Err() != nil && !(o.Strict && in.badAfter(b)) {
					continue
				}
				err := d.block(b)
				if err == nil && o.Strict && in.anyBad() {
					err = errStrict
				}
				if err != nil {
					cancel(err)
				}
				select {
				case src.free <- b.data:
				default:
				}
			}
			if err := d.out.flush(); err != nil {
				cancel(err)
			}
		})
	}
	var err error
	for _, name := range o.Files {
		if err = src.read(ctx, name); err != nil {
			break
		}
	}
	close(blocks)
	all.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return src.names, err
}

func (in *intake) anyBad() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bad > 0
}

// badAfter says whether a bad line is known that comes after a block: the block
// may have the first one.
func (in *intake) badAfter(b block) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.bad > 0 && cmp.Or(cmp.Compare(b.file, in.first[0].file), cmp.Compare(b.line, in.first[0].Line)) < 0
}

// fold replays the piles of visitors, then those of accounts.
func (in *intake) fold(ctx context.Context, o Options) (*tallies, error) {
	moves := in.persons.moves()
	extra := &heap{limit: o.Memory, dir: o.TempDir}
	defer extra.close()
	if len(moves) > 0 {
		if err := in.move(ctx, moves, extra, o.Workers); err != nil {
			return nil, err
		}
	}
	accounts := &heap{limit: o.Memory, dir: o.TempDir}
	defer accounts.close()
	total := newTallies(in.plan, in.from, in.until)
	for _, who := range []segments.Who{segments.Visitor, segments.Account} {
		if who == segments.Account && !in.plan.accounts {
			break
		}
		from := []*heap{in.heap, extra}
		if who == segments.Account {
			from = []*heap{accounts}
		}
		parts := make([]*tallies, o.Workers)
		err := eachPile(ctx, o.Workers, func(worker int, next func() (int, bool)) error {
			var out *stacker
			if who == segments.Visitor && in.plan.accounts {
				out = &stacker{heap: accounts}
			}
			parts[worker] = newTallies(in.plan, in.from, in.until)
			r := newReplay(in, who, out, parts[worker])
			r.moved = moves
			for pile, ok := next(); ok; pile, ok = next() {
				var chunks [][]byte
				for _, h := range from {
					more, err := h.take(pile)
					if err != nil {
						return err
					}
					chunks = append(chunks, more...)
				}
				if err := r.pile(chunks, pile); err != nil {
					return err
				}
			}
			if out != nil {
				return out.flush()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, t := range parts {
			total.add(t)
		}
	}
	return total, nil
}

// move copies the events of visitors to the pile of their person. They stay on
// the other too, where they are left out.
func (in *intake) move(ctx context.Context, moves map[uint64]int, to *heap, workers int) error {
	return eachPile(ctx, workers, func(_ int, next func() (int, bool)) error {
		out := &stacker{heap: to}
		for pile, ok := next(); ok; pile, ok = next() {
			chunks, err := in.heap.look(pile)
			if err != nil {
				return err
			}
			err = each(chunks, func(visitor uint64, item []byte) error {
				if to, ok := moves[visitor]; ok {
					return out.copy(to, item)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return out.flush()
	})
}

// eachPile runs workers that ask for one pile after the other.
func eachPile(ctx context.Context, workers int, run func(worker int, next func() (int, bool)) error) error {
	var mu sync.Mutex
	at := 0
	errs := make([]error, workers)
	next := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		at++
		return at - 1, at <= piles && ctx.Err() == nil
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { errs[w] = run(w, next) })
	}
	all.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}
