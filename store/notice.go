package store

import (
	"encoding/json"
	"fmt"
)

// Notice is the body of a letter about what was done to rules, as JSON.
type Notice struct {
	// ID is that of the ledger's entry on this node, by which receivers know
	// repetitions: the beginning of the hash of its line.
	ID       string `json:"id"`
	Node     string `json:"node,omitempty"`
	Sentence string `json:"sentence,omitempty"` // of the rule, as it is loaded
	Entry
}

// notify writes an entry of the ledger to every queue of notices, in its batch,
// if it is one that people want to know of at once.
func (w *writer) notify(e *Entry) error {
	if w.set == nil || len(w.set.Edge.Notices) == 0 {
		return nil
	}
	switch e.Kind {
	case "rollback", "resume", "ramp", "hold", "release", "expire", "off", "on":
	case "drill":
		if e.Drill == nil || e.Drill.Failed == "" {
			return nil
		}
	default:
		return nil
	}
	n := Notice{ID: w.head[:32], Node: w.s.opts.Node, Entry: *e}
	if r := w.set.Rule(e.Rule); r != nil && (e.Version == "" || e.Version == r.Version) {
		n.Sentence = r.Sentence()
	}
	body, err := json.Marshal(&n)
	if err != nil {
		return w.broken(fmt.Errorf("notice of entry %d: %w", e.Seq, err))
	}
	for _, d := range w.set.Edge.Notices {
		if q := w.queues[d.Name]; q != nil { // else there is none: the store has failed
			if err := w.post(q, e.At, body); err != nil {
				return err
			}
		}
	}
	return nil
}
