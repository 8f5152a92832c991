package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

// Entry is one line of the ledger: what was done to what is live, by whom and
// why. Entries are only ever added, in the batch of what they record. Each has
// the hash of the line before it, so that no line can be changed, taken out or
// put in without all that come after it: see [Chain].
type Entry struct {
	Seq      uint64    `json:"seq"` // from 1, without gaps
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"` // load, start, ramp, epoch, hold, release, expire, rollback, receipt, resume, drill, off, on, upload, drop
	Revision string    `json:"revision,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Version  string    `json:"version,omitempty"`
	Who      string    `json:"who,omitempty"`
	Why      string    `json:"why,omitempty"`
	Stop     *Stop     `json:"stop,omitempty"`
	Drill    *Drill    `json:"drill,omitempty"`
	// Start, of a load, says that a process began with it: what a signal or the API
	// had turned off before was on again. Site is the SHA-256 of the Site that the
	// revision stands for, in hex.
	Start bool   `json:"start,omitempty"`
	Site  string `json:"site,omitempty"`
	// Approvals are, of a load, those of the rules that it made live, or that
	// were not the same before.
	Approvals []Approved `json:"approvals,omitempty"`
	// Cohort and its Members are of an upload, or were when it was dropped.
	Cohort  string `json:"cohort,omitempty"`
	Members int    `json:"members,omitempty"`
	// Hold is the one that begins or ends, of a hold or release; Tally and Verdict
	// are the numbers that decided.
	Hold *Hold `json:"hold,omitempty"`
	// Stage and From are the step of a ramp, or the epoch, that begins and the one
	// that ends; Tally and Verdict the numbers that decided.
	Stage   *Stage            `json:"stage,omitempty"`
	From    *Stage            `json:"from,omitempty"`
	Tally   *outcomes.Tally   `json:"tally,omitempty"`
	Verdict *outcomes.Verdict `json:"verdict,omitempty"`
	// Before is the Hash of the line before; empty in the first.
	Before string `json:"before,omitempty"`
}

// Approved says who approved which content of a rule.
type Approved struct {
	Rule    string           `json:"rule"`
	Content string           `json:"content"` // "sha256:…"
	By      []rules.Approval `json:"by"`
}

// approved lists the approvals of a set's live rules that are not the same in the
// set before, which may be nil.
func approved(before, set *rules.Set) (list []Approved) {
	for _, r := range set.Live() {
		if len(r.Approvals) == 0 {
			continue
		}
		a := Approved{r.Name, r.Content, r.Approvals}
		if before != nil {
			was := before.Rule(r.Name)
			if was != nil && slices.Contains(before.Live(), was) && reflect.DeepEqual(a, Approved{was.Name, was.Content, was.Approvals}) {
				continue
			}
		}
		list = append(list, a)
	}
	return list
}

// note adds an entry to the ledger.
func (w *writer) note(e Entry) error {
	e.Seq, e.At, e.Before = w.nextEntry, w.s.opts.Now().UTC(), w.head
	if e.Revision == "" && w.set != nil {
		e.Revision = w.set.Revision
	}
	b, err := json.Marshal(e)
	if err != nil {
		return w.broken(fmt.Errorf("ledger: %w", err))
	}
	w.nextEntry++
	w.head = Hash(b)
	if err := w.g.batch.Set(seqKey(keyLedger, e.Seq), b, nil); err != nil {
		return err
	}
	return w.notify(&e)
}

// loadLedger finds the end of the ledger.
func (w *writer) loadLedger() (err error) {
	if w.nextEntry, err = w.s.nextSeq(keyLedger); err != nil || w.nextEntry == 1 {
		return err
	}
	last, err := w.s.get(seqKey(keyLedger, w.nextEntry-1))
	if err == nil {
		w.head = Hash(last)
	}
	return err
}

// Note puts an entry on record that the store knows nothing of, such as "off",
// and returns when it is on disk. Seq, At and Before are filled in.
func (s *Store) Note(ctx context.Context, e Entry) error {
	return s.do(ctx, func(w *writer) error { return w.note(e) })
}

// Ledger returns lines of the ledger as they are kept, oldest first: each is an
// [Entry] as JSON, to the byte what its hash is of. There are at most n of
// them, from the entry from on; from 0 means the last ones.
func (s *Store) Ledger(ctx context.Context, from uint64, n int) ([]json.RawMessage, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: seqKey(keyLedger, from), UpperBound: after(keyLedger)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	lines := []json.RawMessage{}
	first, next := it.First, it.Next
	if from == 0 {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok && len(lines) < n; ok = next() {
		lines = append(lines, bytes.Clone(it.Value()))
	}
	if from == 0 {
		slices.Reverse(lines)
	}
	return lines, it.Error()
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
