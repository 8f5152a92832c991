package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Entry is one line of the ledger: what was done to what is live, by whom and
// why. Entries are only ever added, in the batch of what they record.
type Entry struct {
	Seq      uint64    `json:"seq"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"` // load, rollback, resume, off, on
	Revision string    `json:"revision,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Version  string    `json:"version,omitempty"`
	Who      string    `json:"who,omitempty"`
	Why      string    `json:"why,omitempty"`
	Stop     *Stop     `json:"stop,omitempty"`
}

// note adds an entry to the ledger.
func (w *writer) note(e Entry) error {
	e.Seq, e.At = w.nextEntry, w.s.opts.Now().UTC()
	if e.Revision == "" && w.set != nil {
		e.Revision = w.set.Revision
	}
	w.nextEntry++
	b, err := json.Marshal(e)
	if err != nil {
		return w.broken(fmt.Errorf("ledger: %w", err))
	}
	return w.g.batch.Set(seqKey(keyLedger, e.Seq), b, nil)
}

// Note puts an entry on record that the store knows nothing of, such as "off",
// and returns when it is on disk. Seq and At are filled in.
func (s *Store) Note(ctx context.Context, e Entry) error {
	return s.do(ctx, func(w *writer) error { return w.note(e) })
}

// Ledger returns the last entries, at most n, oldest first.
func (s *Store) Ledger(ctx context.Context, n int) ([]Entry, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{keyLedger}, UpperBound: after(keyLedger)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var list []Entry
	for ok := it.Last(); ok && len(list) < n; ok = it.Prev() {
		var e Entry
		if err := json.Unmarshal(it.Value(), &e); err != nil {
			return nil, fmt.Errorf("ledger entry %x: %w", it.Key(), err)
		}
		list = append(list, e)
	}
	for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
		list[i], list[j] = list[j], list[i]
	}
	return list, it.Error()
}

// readable says whether Pebble may still be asked.
func (s *Store) readable() error {
	select {
	case <-s.failed:
		return s.Err()
	default:
		return nil
	}
}
