package rewrite

import (
	"flag"
	"math/rand/v2"
	"sync"
)

// BreakAfter makes a Reader panic in its step after the next n.
func (r *Reader) BreakAfter(n int) { r.breaks = n + 1 }

var seedFlag = flag.Uint64("seed", 1, "of the random pages and chunks; 0 takes another each time")

// Seed is the same throughout a run.
var Seed = sync.OnceValue(func() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64()
})
