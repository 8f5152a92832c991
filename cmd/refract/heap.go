package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapFloor is the size of the heap, in bytes, at which garbage collections end,
// about, as long as less than half of it is alive. That are 10 MB at rest, and
// Go by itself would collect whenever they have doubled: at 500 requests a second
// every two seconds, at 300 reloads a second seven times in one. Each takes half
// of two processors for some milliseconds, and requests wait. With more alive,
// Go's own pace holds, twice that.
const heapFloor = 48 << 20

// keepHeapFloor has the runtime heed heapFloor from now on, unless the
// environment says by GOGC when to collect. GOMEMLIMIT goes before either. It
// changes the whole process.
func keepHeapFloor() {
	if os.Getenv("GOGC") == "" {
		setPace(100)
	}
}

// setPace sets GOGC by what the last collection has left alive, if it is not
// that already, and is called again after the next one.
func setPace(now int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	next := pace(live[0].Value.Uint64())
	if next < now || next > now+now/8 {
		debug.SetGCPercent(next) // this stops the world for a moment
		now = next
	}
	runtime.AddCleanup(new([16]byte), setPace, now) // its turn comes with the first collection
}

// leastHeap is what Go takes for alive if less is, in bytes, before the first
// collection too.
const leastHeap = 4 << 20

// pace is the GOGC by which the next collection begins at heapFloor, with so
// many bytes alive: 100, Go's own, from half of that on.
func pace(live uint64) int {
	if live >= heapFloor/2 {
		return 100
	}
	live = max(live, leastHeap)
	return int((heapFloor - live) * 100 / live)
}
