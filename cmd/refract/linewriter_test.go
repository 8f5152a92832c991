package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A reader that comes back is told what it missed.
func TestLogWriter(t *testing.T) {
	read, write := io.Pipe()
	l := newLogWriter(write)
	line := strings.Repeat("x", 1000) + "\n"
	const lines = 2000
	for range lines {
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	got := make(chan string)
	go func() {
		b, _ := io.ReadAll(read)
		got <- string(b)
	}()
	l.close()
	write.Close()
	all := <-got
	kept := strings.Count(all, line)
	_, last, _ := strings.Cut(all, "{")
	var rec struct {
		Msg   string
		Lines int
	}
	if err := json.Unmarshal([]byte("{"+last), &rec); err != nil {
		t.Fatalf("%q: %v", last, err)
	}
	if kept < logRoom/len(line) || kept+rec.Lines != lines || rec.Msg == "" || l.lost() != uint64(rec.Lines) {
		t.Errorf("%d lines were written, %d reported as dropped and %d counted, of %d", kept, rec.Lines, l.lost(), lines)
	}
}

// A line that comes while another is being written leaves that alone.
func TestLogWriterOrder(t *testing.T) {
	read, write := io.Pipe()
	l := newLogWriter(write)
	in := bufio.NewReaderSize(read, 16)
	want := func(line string) {
		t.Helper()
		if got, err := in.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%q, %v, want %q", got, err, line)
		}
	}
	for i := range 500 {
		a, b := fmt.Sprintf("%04d %s\n", i, strings.Repeat("a", 100)), fmt.Sprintf("%04d %s\n", i, strings.Repeat("b", 100))
		fmt.Fprint(l, a)
		if _, err := in.Peek(1); err != nil { // it is being written, and waits for us
			t.Fatal(err)
		}
		fmt.Fprint(l, b)
		want(a)
		want(b)
	}
	l.close()
}

// TestAccessWriter has lines that come within a while written at once, also
// while the reader takes its time, and the last ones at the end.
func TestAccessWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type write struct {
			at    time.Duration
			lines int
		}
		start := time.Now()
		var got []write
		l := newAccessWriter(writerFunc(func(p []byte) (int, error) {
			got = append(got, write{time.Since(start), strings.Count(string(p), "\n")})
			time.Sleep(accessEvery / 5)
			return len(p), nil
		}))
		for range 20 { // one a hundredth of a second
			fmt.Fprintln(l, "line")
			time.Sleep(accessEvery / 5)
		}
		fmt.Fprintln(l, "last")
		l.close()
		total := 0
		for i, w := range got {
			if total += w.lines; i+1 < len(got) && w.lines < 5 || i > 0 && i+1 < len(got) && w.at-got[i-1].at < accessEvery {
				t.Errorf("write %d: %d lines after %v", i, w.lines, w.at)
			}
		}
		if total != 21 || time.Since(start) > 5*accessEvery {
			t.Errorf("%d lines were written after %v", total, time.Since(start))
		}
		fmt.Fprintln(l, "too late")
		if l.lost() != 1 {
			t.Errorf("%d lines are counted as lost", l.lost())
		}
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
