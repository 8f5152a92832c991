package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Hash is what a line of the ledger is known by: the SHA-256 of its bytes, in
// hexadecimal.
func Hash(line []byte) string {
	h := sha256.Sum256(line)
	return hex.EncodeToString(h[:])
}

// Chain checks a ledger line by line, from its first: that each was written
// after the one before it, as that stands. What a chain alone can't tell is
// whether lines are missing at its end, or whether all of it was written anew:
// for that its end has to be compared with one that was noted elsewhere.
//
// The zero Chain is at the beginning. It is not for use by several goroutines.
type Chain struct {
	seq  uint64
	head string
}

// Head returns the last entry that was added, and the hash of its line; 0 and
// nothing if there was none.
func (c *Chain) Head() (seq uint64, hash string) { return c.seq, c.head }

// Add takes the next line and returns its entry. After an error, which names
// the entry, the chain is where it was.
func (c *Chain) Add(line []byte) (Entry, error) {
	next := c.seq + 1
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil || dec.More() {
		return e, fmt.Errorf("entry %d is damaged: it is no line of a ledger", next)
	}
	switch {
	case e.Seq > next:
		return e, fmt.Errorf("entry %d is missing: entry %d follows on entry %d", next, e.Seq, c.seq)
	case e.Seq < next:
		return e, fmt.Errorf("entry %d stands where entry %d should", e.Seq, next)
	case e.Before != c.head && c.seq == 0:
		return e, fmt.Errorf("entry %d was written after another, which is missing", next)
	case e.Before != c.head:
		return e, fmt.Errorf("entry %d was changed: entry %d was written after a line with the hash %.12s…, and it has %.12s…", c.seq, next, e.Before, c.head)
	}
	c.seq, c.head = e.Seq, Hash(line)
	return e, nil
}
