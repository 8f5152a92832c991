package rewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkPeers has Cloudflare's HTMLRewriter change the same regions of the
// same pages inside the workerd that scripts/bench-peers started, and prints the
// table of docs/benchmarks.md. workerd holds the page in memory, and what comes
// out of its rewriter is read in the quicker of two ways.
func BenchmarkPeers(b *testing.B) {
	w, pages := startedWorkerd(b), fetchedPages(b)
	w.do(b, http.MethodPut, "/content", []byte(benchContent))
	var ratios []float64
	fmt.Printf("\n\n%s\n\n", machine())
	fmt.Println("| page | KB | refract | HTMLRewriter in workerd | × | workerd's own copying | × without it |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|")
	for _, page := range pages {
		w.do(b, http.MethodPut, "/page", page.html)
		if got := w.do(b, http.MethodGet, "/page", nil); !bytes.Equal(got, page.swapped) {
			b.Errorf("%s: HTMLRewriter's output is not ours", page.name)
		}
		size, pass := len(page.html), contestants[0].prepare(b, page.html)
		quicker, times, best := "", 0, 0.0
		for _, method := range []string{"/whole", "/chunks"} {
			if n, v := w.calibrate(b, method, size); v > best {
				quicker, times, best = method, n, v
			}
		}
		_, copying := w.calibrate(b, "/copy", size)
		var ours, theirs []float64
		for range 3 {
			ours = append(ours, inTurns(size, pass)...)
			theirs = append(theirs, w.speed(b, quicker, size, times))
		}
		mine, peer := median(ours), median(theirs)
		ratios = append(ratios, mine/peer)
		fmt.Printf("| %s | %.1f | %.0f | %.0f | %.1f | %.0f | %.1f |\n",
			page.name, float64(size)/1e3, mine, peer, mine/peer, copying, mine*(1/peer-1/copying))
	}
	fmt.Printf("| **median** | | | | %.1f | | |\n", median(ratios))
	fmt.Println()
}

// A workerd is a running one.
type workerd struct {
	client *http.Client
	stat   string // its file below /proc
}

func startedWorkerd(b *testing.B) workerd {
	socket := os.Getenv("REFRACT_WORKERD")
	if socket == "" {
		skip(b, "no workerd: run scripts/bench-peers")
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	b.Cleanup(transport.CloseIdleConnections)
	return workerd{&http.Client{Transport: transport, Timeout: time.Minute}, "/proc/" + os.Getenv("REFRACT_WORKERD_PID") + "/stat"}
}

// calibrate finds how many passes over a page of so many bytes take long enough
// to be measured, and the speed that they had.
func (w workerd) calibrate(b *testing.B, method string, size int) (times int, speed float64) {
	const sample = 30 * clockTick
	w.speed(b, method, size, 1+1_000_000/size)
	for times = 1 + 10_000_000/size; ; times *= 2 {
		if speed = w.speed(b, method, size, times); float64(size*times)/1e6/speed >= sample.Seconds() {
			return times, speed
		}
	}
}

// speed is in megabytes a second of the process's CPU time, measured from
// outside: a worker's own clocks stand still.
func (w workerd) speed(b *testing.B, method string, size, times int) float64 {
	before := w.cpuTime(b)
	w.do(b, http.MethodPost, fmt.Sprintf("%s?times=%d", method, times), nil)
	return speed(size*times, max(w.cpuTime(b)-before, clockTick))
}

// clockTick is what /proc counts CPU time in.
const clockTick = 10 * time.Millisecond

// cpuTime is the process's, see proc_pid_stat(5): its 14th and 15th fields.
func (w workerd) cpuTime(b *testing.B) time.Duration {
	stat, err := os.ReadFile(w.stat)
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third on
	user, err := strconv.Atoi(fields[14-3])
	if err != nil {
		b.Fatal(err)
	}
	system, err := strconv.Atoi(fields[15-3])
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * clockTick
}

func (w workerd) do(b *testing.B, method, path string, body []byte) []byte {
	request, err := http.NewRequestWithContext(b.Context(), method, "http://workerd"+path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	response, err := w.client.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.Fatalf("%s %s: %s %v: %s", method, path, response.Status, err, answer)
	}
	return answer
}
