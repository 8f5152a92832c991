package store

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/seed14307185/refract/segments"
)

// The first byte of a key says what it holds.
const (
	keyMeta    = 'M' // name → see meta.go
	keyEvent   = 'e' // sequence → event (JSON)
	keySeen    = 'i' // hash of source and event id → sequence
	keyState   = 's' // unit → segments.State
	keyRecord  = 'd' // unit → decision record, or the unit it was merged into
	keyEnrol   = 'x' // run, unit → outcomes.Enrolment
	keyTimer   = 'w' // time, run, unit → nothing: a window of that enrolment closes
	keyTally   = 't' // run → outcomes.Tally (JSON)
	keyRun     = 'r' // rule NUL version → Run (JSON)
	keyLedger  = 'l' // sequence → Entry (JSON)
	keyCohort  = 'c' // name → Cohort (JSON)
	keyName    = 'n' // kind and name of an event or trait → nothing: it was seen
	keyMember  = 'm' // version of a cohort, unit → since when, until when (varints)
	keyStage   = 'g' // name of a cohort NUL → stage (JSON); and 1, page → its units
	keyHeard   = 'h' // name of a cohort NUL slot → hash of a message, how many there were
	keyMerged  = 'a' // visitor's id that was merged into another → nothing
	keySite    = 'y' // SHA-256 in hex → Site of that hash (JSON, gzip)
	keyLetter  = 'o' // queue NUL sequence → time (Unix ms), body
	keyPoint   = 'p' // run, time → Point (JSON)
	keyPast    = 'q' // run → Run (JSON), of a version that has another since
	keyVersion = 1
)

func seqKey(kind byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, seq)
}

func unitKey(b []byte, kind byte, u segments.Unit) []byte {
	b = append(b, kind)
	return appendUnit(b, u)
}

// appendUnit writes a unit as one byte for its kind and its id.
func appendUnit(b []byte, u segments.Unit) []byte {
	if u.Who == segments.Account {
		b = append(b, 'a')
	} else {
		b = append(b, 'v')
	}
	return append(b, u.ID...)
}

func parseUnit(b []byte) segments.Unit {
	u := segments.Unit{Who: segments.Visitor, ID: string(b[1:])}
	if b[0] == 'a' {
		u.Who = segments.Account
	}
	return u
}

// seenKey names an event by its sender's id. 16 bytes of a hash: among 2^40
// events the odds of one false repetition are below 1 in 10^14.
func seenKey(source, id string) []byte {
	h := sha256.New()
	h.Write([]byte(source))
	h.Write([]byte{0})
	h.Write([]byte(id))
	return h.Sum([]byte{keySeen})[:17]
}

// A run is one period of a rule's life with its own counts. Its id is a
// sequence, so that enrolment keys stay short.
func enrolKey(run uint64, u segments.Unit) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 32), run)
	return append([]byte{keyEnrol}, appendUnit(b, u)...)
}

func timerKey(at int64, run uint64, u segments.Unit) []byte {
	b := append(make([]byte, 0, 48), keyTimer)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint64(b, run)
	return appendUnit(b, u)
}

func parseTimer(k []byte) (at int64, run uint64, u segments.Unit) {
	return int64(binary.BigEndian.Uint64(k[1:])), binary.BigEndian.Uint64(k[9:]), parseUnit(k[17:])
}

func tallyKey(run uint64) []byte { return seqKey(keyTally, run) }

func runKey(rule, version string) []byte {
	return append([]byte{keyRun}, rule+"\x00"+version...)
}

// after is the smallest key that is greater than all keys of the kind.
func after(kind byte) []byte { return []byte{kind + 1} }
