// Package simulate replays a history of events against the segments and rules
// of a site: who would have been in each segment and when, how steady each
// segment is, and how long the test of each rule would take.
//
// It folds with package segments, as the proxy does, and has no other idea of
// what a condition means. An event is replayed as if it had arrived when it
// happened: so a file in any order gives what the sorted one gives, and no
// event is late.
//
// # How it works
//
//	files → blocks of whole lines → items → piles → units → tallies → Report
//
// A block is decoded by whichever worker is free. Of a line only what a
// segment or rule asks for becomes an item (plan.go); a line that none of them
// hears is an item too, for it shows that its visitor was there.
//
// Items are put on 64 piles by a hash of the visitor (pile.go). When more is
// held than Options.Memory, the piles go to a temporary file. One pile at a
// time is then sorted and folded by each worker, so what is in memory is a
// 64th of the events and units for each of them, whatever the history's
// length. Visitors who turn out to be the same person are moved to one pile
// before. What accounts hear is put on piles of its own on the way, and folded
// after.
//
// Tallies are sums, so that of a history is that of its piles added up.
//
// Visitors, accounts and ids of events are known by 64 bits of xxHash; two of
// ten million share one with a probability of 3 in a million.
package simulate
