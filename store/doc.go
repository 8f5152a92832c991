// Package store keeps what is durable, in one embedded Pebble: the event log,
// the state of each unit, decision records, enrolments, tallies and the ledger.
//
// # One writer
//
// Every change is made by one goroutine, the writer. It takes what has queued
// up, folds it into the state of the units it touches, and commits all of it
// as one batch, so an event and everything it changes become durable together
// and a restart has nothing to replay. While that batch is being synced (by
// the second goroutine, the syncer, which then tells the callers) the writer
// works on the next one: the cost of an fsync is shared by all who wait for
// it, and a lone caller waits for little more than his own.
//
// # Reading
//
// Lookup never waits for a writer: it asks the decision cache, then Pebble. A
// unit's shard gets a new generation after each durable change of a decision
// record, and generations are part of the cache's keys, so a value that the
// cache kept too long is under a key that nobody asks for (see cache.go).
//
// # The outbox
//
// What other systems are to be told waits in queues, one a destination (see
// outbox.go). A letter is written in the batch of the enrolment that it tells
// of, and is taken only after the fsync of that batch.
//
// # When the disk fails
//
// Appending is refused while free space is below a reserve. If Pebble itself
// gives up, the store is failed for good: every append is refused, every
// lookup finds nothing, Err says why, and the process goes on serving pages.
package store
