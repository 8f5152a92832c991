package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
)

// The outbox holds letters: what somebody else is to be told, a first exposure
// or a request that a source took. Each destination has a queue of its own, by
// its name, so that one that is down holds up nobody else. A letter is written
// in the batch of what it tells of: what is counted is told, and what is told is
// counted. It is taken only once it is on disk, and leaves the queue when it is
// settled, so after a crash it may be taken again.

// Letter is one message that waits for a destination.
type Letter struct {
	Seq  uint64    // within its queue: ascending, without gaps, never given twice
	At   time.Time // when it was written
	Body []byte
}

// Backlog is what waits in a queue.
type Backlog struct {
	Pending int
	Bytes   int64
	Oldest  time.Time // when the first letter was written; zero: nothing waits
	Dropped uint64    // letters dropped since the store was opened, because the queue was full
}

// ErrNoQueue is returned for a queue that the present set doesn't have.
var ErrNoQueue = errors.New("no such queue")

const (
	metaQueue   = "queue/"
	letterHead  = 8  // bytes of the time
	overflowing = 10 // a queue that is full loses a tenth, so that it isn't full at once again
)

// queue is what the writer knows of a queue.
type queue struct {
	name    string
	first   uint64 // of what waits
	next    uint64 // of what comes
	bytes   int64
	most    int64
	dropped uint64
}

// mail is the outbox as the disk has it. Safe for concurrent use.
type mail struct {
	mu     sync.Mutex
	queues map[string]*box // guarded by mu
}

// box is a queue as the disk has it: guarded by mail.mu but for news.
type box struct {
	queue
	news chan struct{} // has room for one: something was written
}

func letterKey(queue string, seq uint64) []byte {
	b := append(make([]byte, 0, len(queue)+10), keyLetter)
	b = append(append(b, queue...), 0)
	return binary.BigEndian.AppendUint64(b, seq)
}

func (q *queue) mark() []byte {
	b := binary.BigEndian.AppendUint64(nil, q.first)
	b = binary.BigEndian.AppendUint64(b, q.next)
	return binary.BigEndian.AppendUint64(b, uint64(q.bytes))
}

// loadQueues reads the queues that the last run had.
func (w *writer) loadQueues() error {
	w.queues, w.s.mail.queues = map[string]*queue{}, map[string]*box{}
	prefix := metaKey(metaQueue)
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(metaKey(metaQueue), 0xff)})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		b := it.Value()
		if len(b) != 24 {
			return fmt.Errorf("the mark of the queue %q is damaged", it.Key())
		}
		q := &queue{
			name: strings.TrimPrefix(string(it.Key()), string(prefix)), most: rules.DefaultQueueBytes,
			first: binary.BigEndian.Uint64(b), next: binary.BigEndian.Uint64(b[8:]), bytes: int64(binary.BigEndian.Uint64(b[16:])),
		}
		w.queues[q.name] = q
		w.s.mail.queues[q.name] = &box{*q, make(chan struct{}, 1)}
	}
	return it.Error()
}

// useQueues makes the queues those of the set. What waits in others is dropped.
func (w *writer) useQueues(set *rules.Set) error {
	wanted := map[string]bool{}
	for _, d := range set.Edge.Destinations() {
		wanted[d.Name] = true
		q := w.queues[d.Name]
		if q == nil {
			// By the clock, so that no queue of this name had these before.
			first := uint64(w.s.opts.Now().UnixMicro())
			q = &queue{name: d.Name, first: first, next: first}
			w.queues[d.Name] = q
		}
		q.most = d.MaxBytes
		w.posted(q)
	}
	for name, q := range w.queues {
		if wanted[name] {
			continue
		}
		if n := q.next - q.first; n > 0 {
			w.s.opts.Log.Warn("a destination is gone: what waited for it is dropped", slog.String("destination", name), slog.Uint64("letters", n))
		}
		delete(w.queues, name)
		w.posted(q)
		if err := w.g.batch.DeleteRange(letterKey(name, 0), letterKey(name, 1<<63), nil); err != nil {
			return err
		}
		if err := w.g.batch.Delete(metaKey(metaQueue+name), nil); err != nil {
			return err
		}
	}
	return nil
}

// posted notes that the group changes a queue.
func (w *writer) posted(q *queue) {
	if w.g.queues == nil {
		w.g.queues = map[string]*queue{}
	}
	w.g.queues[q.name] = nil
}

// post writes a letter to a queue.
func (w *writer) post(q *queue, at time.Time, body []byte) error {
	if q.bytes += int64(len(body)); q.bytes > q.most {
		if err := w.overflow(q); err != nil {
			return err
		}
	}
	w.posted(q)
	key := letterKey(q.name, q.next)
	q.next++
	return w.g.batch.Set(key, append(binary.BigEndian.AppendUint64(make([]byte, 0, letterHead+len(body)), uint64(at.UnixMilli())), body...), nil)
}

// overflow drops the oldest letters of a queue that is full. Those of the
// present group are not seen yet, and stay.
func (w *writer) overflow(q *queue) error {
	it, err := w.s.db.NewIter(&pebble.IterOptions{LowerBound: letterKey(q.name, q.first), UpperBound: letterKey(q.name, q.next)})
	if err != nil {
		return w.broken(err)
	}
	defer it.Close()
	from := q.first
	for it.First(); it.Valid() && q.bytes > q.most-q.most/overflowing; it.Next() {
		q.bytes -= int64(len(it.Value()) - letterHead)
		q.first++
	}
	if err := it.Error(); err != nil {
		return w.broken(err)
	}
	if q.first == from {
		return nil
	}
	q.dropped += q.first - from
	return w.g.batch.DeleteRange(letterKey(q.name, from), letterKey(q.name, q.first), nil)
}

// putQueues writes the marks of the queues that the group changed, and keeps
// them for when they are on disk.
func (w *writer) putQueues() error {
	for name := range w.g.queues {
		q := w.queues[name]
		if q == nil {
			continue // dropped
		}
		is := *q
		w.g.queues[name] = &is
		if err := w.g.batch.Set(metaKey(metaQueue+name), q.mark(), nil); err != nil {
			return err
		}
	}
	return nil
}

// deliver makes known what a group that is on disk did to the queues.
func (m *mail) deliver(changed map[string]*queue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, q := range changed {
		b := m.queues[name]
		switch {
		case q == nil:
			delete(m.queues, name)
		case b == nil:
			b = &box{*q, make(chan struct{}, 1)}
			m.queues[name] = b
		default:
			b.queue = *q
		}
		if b != nil {
			select {
			case b.news <- struct{}{}:
			default:
			}
		}
	}
}

// AppendTo appends events like Append, if there are any, and in the same write
// posts a letter to a queue: both are on disk when it returns, or neither ever
// is. Events that are repetitions change nothing about the letter. For a queue
// that the present set doesn't have, which went away meanwhile, no letter is
// written.
func (s *Store) AppendTo(ctx context.Context, queue string, letter []byte, batch []*events.Event) error {
	return s.append(ctx, batch, func(w *writer) error {
		q := w.queues[queue]
		if q == nil {
			return nil
		}
		if err := w.post(q, s.opts.Now(), letter); err != nil {
			return w.broken(err)
		}
		return nil
	})
}

// Take returns the letters at the front of a queue that are on disk: at most
// so many, and no more than so many bytes of them, but one at least. It waits
// until there is one. The letters stay in the queue until they are settled.
func (s *Store) Take(ctx context.Context, queue string, most, bytes int) ([]Letter, error) {
	for {
		if err := s.readable(); err != nil {
			return nil, err
		}
		s.mail.mu.Lock()
		b := s.mail.queues[queue]
		if b == nil {
			s.mail.mu.Unlock()
			return nil, fmt.Errorf("%w: %q", ErrNoQueue, queue)
		}
		first, next, news := b.first, b.next, b.news
		s.mail.mu.Unlock()
		if first < next {
			if letters, err := s.letters(queue, first, next, most, bytes); err != nil || len(letters) > 0 {
				return letters, err
			}
		}
		select { // also where what was there is being dropped just now
		case <-news:
		case <-s.failed:
		case <-s.gone:
			return nil, ErrUnavailable
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Store) letters(queue string, first, next uint64, most, bytes int) ([]Letter, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: letterKey(queue, first), UpperBound: letterKey(queue, next)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var letters []Letter
	for it.First(); it.Valid() && len(letters) < most; it.Next() {
		k, v := it.Key(), it.Value()
		if len(v) < letterHead {
			return nil, fmt.Errorf("a letter of the queue %q is damaged", queue)
		}
		if bytes -= len(v) - letterHead; bytes < 0 && len(letters) > 0 {
			break
		}
		letters = append(letters, Letter{
			Seq:  binary.BigEndian.Uint64(k[len(k)-8:]),
			At:   time.UnixMilli(int64(binary.BigEndian.Uint64(v))).UTC(),
			Body: append([]byte(nil), v[letterHead:]...),
		})
	}
	return letters, it.Error()
}

// Settle takes letters that Take returned, and that are done with, out of their
// queue: those at its front, in order. It returns when that is on disk.
func (s *Store) Settle(ctx context.Context, queue string, letters []Letter) error {
	return s.do(ctx, func(w *writer) error {
		q := w.queues[queue]
		if q == nil {
			return nil // dropped meanwhile
		}
		from := q.first
		for _, l := range letters {
			if l.Seq == q.first && l.Seq < q.next { // else dropped meanwhile
				q.bytes -= int64(len(l.Body))
				q.first++
			}
		}
		if q.first == from {
			return nil
		}
		w.posted(q)
		return w.g.batch.DeleteRange(letterKey(queue, from), letterKey(queue, q.first), nil)
	})
}

// Backlog returns what waits in a queue, as far as it is on disk.
func (s *Store) Backlog(queue string) Backlog {
	s.mail.mu.Lock()
	b := s.mail.queues[queue]
	if b == nil {
		s.mail.mu.Unlock()
		return Backlog{}
	}
	q := b.queue
	s.mail.mu.Unlock()
	is := Backlog{Pending: int(q.next - q.first), Bytes: q.bytes, Dropped: q.dropped}
	if is.Pending > 0 && s.readable() == nil {
		if l, err := s.letters(queue, q.first, q.next, 1, 0); err == nil && len(l) > 0 {
			is.Oldest = l[0].At
		}
	}
	return is
}
