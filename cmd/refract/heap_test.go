package main

import (
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

func TestPace(t *testing.T) {
	for live, want := range map[uint64]int{0: 1100, 1 << 20: 1100, leastHeap: 1100, 8 << 20: 500, 16 << 20: 200, heapFloor / 2: 100, 1 << 30: 100} {
		if got := pace(live); got != want {
			t.Errorf("with %d bytes alive GOGC is %d, want %d", live, got, want)
		}
	}
}

// TestHeapFloor reads the runtime's own record of its collections.
func TestHeapFloor(t *testing.T) {
	if os.Getenv("REFRACT_TEST_GARBAGE") != "" {
		keepHeapFloor()
		var alive [][]byte
		for i := range 50_000 { // 0.4 GB, 80 MB of it alive at the end
			if b := make([]byte, 8<<10); i%5 == 0 {
				alive = append(alive, b)
			}
		}
		t.Logf("%d pieces are alive; GOGC is %d", len(alive), debug.SetGCPercent(100))
		return
	}
	for _, gogc := range []string{"", "50"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHeapFloor$", "-test.v")
		cmd.Env = append(os.Environ(), "REFRACT_TEST_GARBAGE=1", "GODEBUG=gctrace=1", "GOGC="+gogc)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if end := map[string]string{"": "GOGC is 100", "50": "GOGC is 50"}[gogc]; !strings.Contains(string(out), end) {
			t.Errorf("with GOGC=%s, at the end it is not so that %s: %s", gogc, end, out)
		}
		least := 1 << 20
		for _, m := range regexp.MustCompile(`, (\d+) MB goal`).FindAllStringSubmatch(string(out), -1) {
			goal, _ := strconv.Atoi(m[1])
			least = min(least, goal)
		}
		if low := least < 40; low != (gogc == "50") {
			t.Errorf("with GOGC=%s, a collection was to be over at %d MB", gogc, least)
		}
	}
}
