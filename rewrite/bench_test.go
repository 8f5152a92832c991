package rewrite_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed14307185/refract/rewrite"
)

// benchPage is a page of about 100 KB such as a server renders, with three
// regions: near the top, in the middle, at the end.
func benchPage() []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html><html lang=en><head><meta charset=utf-8><title>Projects</title><link rel=stylesheet href=/app.css>")
	b.WriteString("<script>window.app = {flags: [" + strings.Repeat(`"some-flag", `, 400) + "]}</script></head><body class=page>")
	region := func(name string) {
		fmt.Fprintf(&b, `<section class="card" data-surface="%s"><h2>Project</h2>%s</section>`, name, strings.Repeat("<p>Nothing <b>here</b> yet.</p>", 20))
	}
	rows := func(n int) {
		for i := range n {
			fmt.Fprintf(&b, `<article class="row row--%d" id="row-%d"><a href="/projects/%d?tab=activity&amp;sort=asc" class="link">Project number %d</a><p>%s</p><ul><li>one<li>two</ul><img src="/i/%d.png" alt=""></article>`+"\n", i%3, i, i, i, strings.Repeat("Some words about it. ", 6), i)
		}
	}
	rows(5)
	region("top")
	rows(160)
	region("middle")
	rows(160)
	region("end")
	b.WriteString("</body></html>")
	return b.Bytes()
}

func BenchmarkReader(b *testing.B) {
	page := benchPage()
	for _, c := range []struct {
		name    string
		replace bool
		regions []string
	}{
		{"plain", true, []string{"nowhere"}},
		{"three-regions", true, regionNames},
		{"three-regions-control", false, regionNames},
		{"nothing-wanted", true, nil},
	} {
		plan := benchPlan(c.regions...)
		for i := range plan.Surfaces {
			plan.Surfaces[i].Replace = c.replace
		}
		b.Run(c.name, func(b *testing.B) { loop(b, page, refractWhole(b, plan, page)) })
	}
}

// BenchmarkPages has each contestant rewrite each of the real pages.
func BenchmarkPages(b *testing.B) {
	for _, page := range fetchedPages(b) {
		for _, c := range contestants {
			b.Run(page.name+"/"+c.name, func(b *testing.B) { loop(b, page.html, c.prepare(b, page.html)) })
		}
	}
}

func loop(b *testing.B, page []byte, pass func()) {
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
}

// BenchmarkTable measures the contestants of BenchmarkPages in turns, so that
// what else the machine does meets all of them, by the CPU time of the process,
// and prints the table of docs/benchmarks.md. One iteration is all there is.
func BenchmarkTable(b *testing.B) {
	pages := fetchedPages(b)
	var rows [][]float64
	fmt.Printf("\n\n%s\n\n", machine())
	fmt.Println("| page | KB | bytes a `<` | refract | in 32 KiB chunks | allocs | tokenizer | goquery | floor | × tokenizer | × goquery | × floor |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, page := range pages {
		var passes []func()
		for _, c := range contestants {
			passes = append(passes, c.prepare(b, page.html))
		}
		speed := inTurns(len(page.html), passes...)
		ratios := []float64{speed[0] / speed[2], speed[0] / speed[3], speed[0] / speed[4]}
		rows = append(rows, ratios)
		fmt.Printf("| %s | %.1f | %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f | %.0f | %.2f |\n",
			page.name, float64(len(page.html))/1e3, len(page.html)/bytes.Count(page.html, []byte("<")),
			speed[0], speed[1], testing.AllocsPerRun(10, passes[0]), speed[2], speed[3], speed[4], ratios[0], ratios[1], ratios[2])
	}
	for _, of := range []struct {
		name string
		pick func([]float64) float64
	}{{"median", median}, {"least", slices.Min[[]float64]}} {
		fmt.Printf("| **%s** | | | | | | | | | %.1f | %.0f | %.2f |\n", of.name, of.pick(column(rows, 0)), of.pick(column(rows, 1)), of.pick(column(rows, 2)))
	}
	fmt.Println()
}

// BenchmarkLearned measures learned pages against the scanner alone, as
// BenchmarkTable does: the same page again and again; with other bytes of the
// same number near its top each time, such as a nonce; and with others of another number.
func BenchmarkLearned(b *testing.B) {
	fmt.Printf("\n\n%s\n\n", machine())
	fmt.Println("| page | KB | scanned | the same again | short difference | longer or shorter | × same | × short | × longer |")
	fmt.Println("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	var rows [][]float64
	for _, page := range fetchedPages(b) {
		speed := inTurns(len(page.html), refractWhole(b, benchPlan(regionNames...), page.html),
			learnedPass(b, page.html, "", ""), learnedPass(b, page.html, "<!-- 0000000000 -->", "<!-- %010d -->"), learnedPass(b, page.html, "<!-- 7 -->", "<!-- %d -->"))
		ratios := []float64{speed[1] / speed[0], speed[2] / speed[0], speed[3] / speed[0]}
		rows = append(rows, ratios)
		fmt.Printf("| %s | %.1f | %.0f | %.0f | %.0f | %.0f | %.1f | %.1f | %.1f |\n",
			page.name, float64(len(page.html))/1e3, speed[0], speed[1], speed[2], speed[3], ratios[0], ratios[1], ratios[2])
	}
	fmt.Printf("| **median** | | | | | | %.1f | %.1f | %.1f |\n", median(column(rows, 0)), median(column(rows, 1)), median(column(rows, 2)))
	fmt.Printf("| **least** | | | | | | %.1f | %.1f | %.1f |\n\n", slices.Min(column(rows, 0)), slices.Min(column(rows, 1)), slices.Min(column(rows, 2)))
}

// learnedPass gives the engine a page that it has learned, with a comment after
// the first tag that differs every time.
func learnedPass(t testing.TB, page []byte, comment, format string) func() {
	at := bytes.IndexByte(page, '>') + 1
	program, memory := compile(t, benchPlan(regionNames...)), rewrite.NewMemory(64<<20)
	src := &source{chunk: len(page) + 100}
	whole := slices.Concat(page[:at], []byte(comment), page[at:])
	n := 0
	return func() {
		if n++; format != "" {
			made := fmt.Appendf(nil, format, n*7919)
			if len(made) == len(comment) {
				copy(whole[at:], made)
			} else {
				whole = append(append(append(whole[:0], page[:at]...), made...), page[at:]...)
			}
		}
		src.rest = whole
		r := program.NewReader(src, inUTF8)
		defer r.Close()
		r.Learn(memory, "/", inUTF8)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	}
}

// inTurns runs the passes over a page of so many bytes one after another, in
// rounds, and returns the megabytes that each does in a second of CPU time, the
// median of its rounds.
func inTurns(size int, passes ...func()) []float64 {
	const (
		rounds = 7
		sample = 30 * time.Millisecond
	)
	times := make([]int, len(passes)) // of a pass in a round
	for i, pass := range passes {
		pass()
		for times[i] = 1; cpuOf(times[i], pass) < sample; times[i] *= 2 {
		}
	}
	speeds := make([][]float64, len(passes))
	for range rounds {
		for i, pass := range passes {
			speeds[i] = append(speeds[i], speed(size*times[i], cpuOf(times[i], pass)))
		}
	}
	var medians []float64
	for _, s := range speeds {
		medians = append(medians, median(s))
	}
	return medians
}

// cpuOf is the CPU time of all threads of the process, the collector's too, for
// n passes.
func cpuOf(n int, pass func()) time.Duration {
	before := cpuTime()
	for range n {
		pass()
	}
	return cpuTime() - before
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// speed is in megabytes (of 10⁶ bytes) a second.
func speed(bytes int, took time.Duration) float64 { return float64(bytes) / 1e6 / took.Seconds() }

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func column(rows [][]float64, i int) []float64 {
	var c []float64
	for _, row := range rows {
		c = append(c, row[i])
	}
	return c
}

// machine says what a table was measured on, when, and of which commit.
func machine() string {
	model := "unknown CPU"
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpus)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	commit, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return fmt.Sprintf("%s, %d cores; %s %s/%s; %s; commit %s", model, runtime.NumCPU(),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, time.Now().UTC().Format(time.DateOnly), bytes.TrimSpace(commit))
}

// regionNames are the surfaces of every page that is measured.
var regionNames = []string{"top", "middle", "end"}

// benchContent is legal in any block, a paragraph too.
const benchContent = `<strong>New:</strong> invite a <em class="who">teammate</em>.`

func benchPlan(names ...string) rewrite.Plan {
	var plan rewrite.Plan
	for _, name := range names {
		plan.Surfaces = append(plan.Surfaces, rewrite.Surface{Name: name, Replace: true, HTML: []byte(benchContent)})
	}
	return plan
}

// source hands out a page at most chunk bytes a Read.
type source struct {
	rest  []byte
	chunk int
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(s.chunk, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}
