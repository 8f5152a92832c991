package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/seed14307185/refract/rules"
)

// Options says where and how a store works. Dir and Log are required.
type Options struct {
	Dir string
	Log *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Stopping is called when the store has found that a rule is to be stopped, by
	// its guardrail or because it was undecided for too long, and before that is
	// on disk, by the writer: it must not block, and of the store it may call
	// what doesn't wait. Stopped follows, unless the store fails. Nil: nobody wants
	// to know.
	Stopping func(rule string)
	// Stopped is called after a stop is on disk, once for each, by the syncer:
	// it must not block and must not call the store.
	Stopped func(Stop)
	// Staged is called, like Stopped, after a rule went to another step of its ramp.
	Staged func()
	// Treated returns how many treated responses of a rule ended since the
	// process started. It is called by the writer: it must not block and must not
	// call the store. Nil: nobody counts them.
	Treated func(rule string) uint64
	// Off says whether a rule is switched off, though its file has it live. It is
	// called by the writer, as Treated is. Nil: none is.
	Off func(rule string) bool
	// Node is the name of this machine, for receipts.
	Node string
	// Health is called when Err may have changed, on a goroutine of its own. Nil:
	// nobody is told.
	Health func()
	// Reserve is the free space in bytes below which appending is refused; 0:
	// DefaultReserve.
	Reserve uint64
	// BlockCache and DecisionCache are sizes in bytes; 0: 64 MiB and 32 MiB.
	BlockCache, DecisionCache int64
	// Retain bounds the event log; zero fields: 90 days, 20 GiB.
	Retain rules.Retention
}

const (
	// DefaultReserve leaves room for Pebble's own flushes and for whatever else
	// lives on the disk.
	DefaultReserve = 128 << 20
	// MaxCommitDelay bounds the time from handing over an exposure or an
	// observed event to its being on disk, on a disk that syncs in time. It is
	// what a crash can lose of them.
	MaxCommitDelay = 20 * time.Millisecond

	queueLen      = 4096    // operations waiting for the writer
	maxGroup      = 1024    // operations, and about as many events, in one batch
	maxGroupBytes = 8 << 20 // of them and of letters, and one operation more
	syncsAhead    = 2       // batches applied and not yet synced
	memTable      = 16 << 20
	tick          = 250 * time.Millisecond
	retainEvery   = time.Minute
)

// ErrLocked is returned by Open while another process has the store open.
var ErrLocked = errors.New("another process has the store open")

// ErrUnavailable is returned by everything that would have to write while the
// store can't.
var ErrUnavailable = errors.New("the store takes no writes")

// Store is the durable half of an edge. Safe for concurrent use.
type Store struct {
	opts    Options
	db      *pebble.DB
	options *pebble.Options
	cache   *cache

	cohorts    atomic.Pointer[map[string]Cohort]
	version    atomic.Uint64 // of the newest refresh of a cohort
	refreshing sync.Mutex
	maxStaged  int // of a delivery: maxStaged, but in tests
	asked      atomic.Pointer[asked]

	ops    chan *op
	syncs  chan *group
	stop   chan struct{}
	ended  sync.WaitGroup
	gone   chan struct{} // closed when both goroutines have ended
	failed chan struct{} // closed with failure set
	once   sync.Once
	cause  error
	full   atomic.Bool // free space is below the reserve

	using sync.Mutex   // held by Use, and by Close until nothing more begins
	reads sync.RWMutex // read by Enrolments, and held from Close on

	mu        sync.Mutex
	standings map[string]Standing // by rule name; guarded by mu
	warming   []string            // names of segments; guarded by mu

	counters counters
	mail     mail
	w        writer // owned by the writer goroutine
}

// counters are what the store counts, for metrics.
type counters struct {
	events, repeated, exposures, refused, dropped, clamped atomic.Uint64
}

// Counters are what a store counted since it was opened.
type Counters struct {
	Events    uint64 // appended
	Repeated  uint64 // recognised as repetitions and left out
	Exposures uint64 // first exposures enrolled
	Refused   uint64 // events refused because the store takes no writes
	Clamped   uint64 // events whose time was not plausible, and became that of their receipt
	Dropped   uint64 // exposures and observed events that found the queue full
}

// Counters returns the counters.
func (s *Store) Counters() Counters {
	return Counters{
		Events:    s.counters.events.Load(),
		Repeated:  s.counters.repeated.Load(),
		Exposures: s.counters.exposures.Load(),
		Refused:   s.counters.refused.Load(),
		Clamped:   s.counters.clamped.Load(),
		Dropped:   s.counters.dropped.Load(),
	}
}

// Open opens the store in a directory, creating it if it is missing. What a
// crash left behind is recovered; a store that is damaged beyond that, or was
// written by a later version, is refused with an error that says what to do.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.BlockCache == 0 {
		o.BlockCache = 64 << 20
	}
	if o.DecisionCache == 0 {
		o.DecisionCache = 32 << 20
	}
	if o.Retain.Age == 0 {
		o.Retain.Age = 90 * 24 * time.Hour
	}
	if o.Retain.Bytes == 0 {
		o.Retain.Bytes = 20 << 30
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	s := &Store{
		opts:      o,
		ops:       make(chan *op, queueLen),
		syncs:     make(chan *group, syncsAhead),
		stop:      make(chan struct{}),
		gone:      make(chan struct{}),
		failed:    make(chan struct{}),
		standings: map[string]Standing{},
		maxStaged: maxStaged,
	}
	blocks := pebble.NewCache(o.BlockCache)
	defer blocks.Unref()
	options := &pebble.Options{
		Cache:                       blocks,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: 4,
		Logger:                      pebbleLog{s},
		EventListener:               &pebble.EventListener{BackgroundError: s.background},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	options.EnsureDefaults()
	db, err := openPebble(o.Dir, options)
	if err != nil {
		return nil, openError(o.Dir, err)
	}
	s.db, s.options = db, options
	s.asked.Store(&asked{})
	if err := s.load(); err != nil {
		return nil, errors.Join(openError(o.Dir, err), db.Close())
	}
	if s.cache, err = newCache(o.DecisionCache); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.checkSpace()
	s.ended.Add(2)
	go s.write()
	go s.sync()
	return s, nil
}

// openPebble turns the panics that Pebble answers to some damage into errors.
func openPebble(dir string, options *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return pebble.Open(dir, options)
}

func openError(dir string, err error) error {
	abs, absErr := filepath.Abs(dir)
	if absErr == nil {
		dir = abs
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w\nhint: the data directory must be writable by the user that runs refract", dir, err)
	case isLocked(err):
		return fmt.Errorf("%s: %w: %w\nhint: stop the other refract, or give this one its own `data:` directory", dir, ErrLocked, err)
	}
	return fmt.Errorf("%s: the store can't be opened: %w\n"+
		"hint: restore the directory from a backup; or move it away (mv %s %s.damaged) and start with an empty store: "+
		"segments, outcomes and rollbacks on record start anew, so roll back by file first whatever must stay off", dir, err, dir, dir)
}

// load reads the marks of the last run.
func (s *Store) load() error {
	version, err := s.meta("version")
	if err != nil {
		return err
	}
	switch {
	case version == nil:
		if err := s.db.Set(metaKey("version"), []byte{keyVersion}, pebble.Sync); err != nil {
			return err
		}
	case len(version) != 1 || version[0] != keyVersion:
		return fmt.Errorf("its format is %v, this version reads %d", version, keyVersion)
	}
	if err := s.loadCohorts(); err != nil {
		return err
	}
	w := &s.w
	w.s, w.cohorts, w.heard, w.swept = s, s.Cohorts(), map[string]*heard{}, map[string][]byte{}
	if err := w.loadStages(); err != nil {
		return err
	}
	if w.names, err = s.loadNames(); err != nil {
		return err
	}
	if err = w.loadLogMeta(); err != nil {
		return err
	}
	if err = w.loadLedger(); err != nil {
		return err
	}
	if w.nextRun, err = s.nextSeq(keyTally); err != nil {
		return err
	}
	if err := w.loadQueues(); err != nil {
		return err
	}
	return w.loadWarm()
}

func (s *Store) nextSeq(kind byte) (uint64, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: after(kind)})
	if err != nil {
		return 0, err
	}
	next := uint64(1)
	if it.Last() && len(it.Key()) == 9 {
		next = binary.BigEndian.Uint64(it.Key()[1:]) + 1
	}
	return next, it.Close()
}

func metaKey(name string) []byte { return append([]byte{keyMeta}, name...) }

func (s *Store) meta(name string) ([]byte, error) { return s.get(metaKey(name)) }

// get returns a copy of the value, or nil if there is none.
func (s *Store) get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, len(v)), v...)
	return b, closer.Close()
}

// Err says why the store takes no writes, or nil.
func (s *Store) Err() error {
	select {
	case <-s.failed:
		return fmt.Errorf("%w: %w", ErrUnavailable, s.cause)
	default:
	}
	if s.full.Load() {
		return fmt.Errorf("%w: less than %d MiB are free where the data directory is", ErrUnavailable, s.opts.Reserve>>20)
	}
	return nil
}

// Close ends the store after what is queued is on disk.
func (s *Store) Close() error {
	select {
	case <-s.failed: // Pebble's goroutines may be parked: leave them
		return s.Err()
	default:
	}
	s.using.Lock()
	s.haltWarm()
	close(s.stop)
	s.using.Unlock()
	s.ended.Wait()
	close(s.gone)
	s.reads.Lock()      // so has a long read
	s.refreshing.Lock() // a refresh that was under way has given up
	defer s.refreshing.Unlock()
	s.cache.close()
	return s.db.Close()
}
