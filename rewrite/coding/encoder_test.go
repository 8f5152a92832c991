package coding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestRoundTrip(t *testing.T) {
	noiseDice, sourceDice, readDice := dice(t), dice(t), dice(t) // the source is read by another goroutine
	page := vector(t, "page.html")
	noise := make([]byte, 150<<10)
	for i := range noise {
		noise[i] = byte(noiseDice.Uint32())
	}
	var pool Pool
	for c := range codings {
		for i, content := range [][]byte{nil, []byte("x"), page, bytes.Repeat(page, 20), noise} {
			for how, src := range map[string]func(io.Reader) io.Reader{
				"whole":      func(r io.Reader) io.Reader { return r },
				"ragged":     func(r io.Reader) io.Reader { return ragged{r, sourceDice} },
				"data + EOF": iotest.DataErrReader,
			} {
				for _, size := range []int{0, 1, 32 << 10} {
					e := pool.NewEncoder(src(bytes.NewReader(content)), c)
					out, err := drain(e, size, readDice)
					if err != io.EOF {
						t.Errorf("%v of content %d, %s: %v", c, i, how, err)
					}
					if _, err := e.Read(make([]byte, 1)); err != io.EOF {
						t.Errorf("%v of content %d, %s: after the end: %v", c, i, how, err)
					}
					e.Close()
					if _, err := e.Read(make([]byte, 1)); err != io.ErrClosedPipe {
						t.Errorf("a closed encoder reads: %v", err)
					}
					d := pool.NewDecoder(bytes.NewReader(out), c)
					if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) {
						t.Errorf("%v of content %d, %s, reads of %d: %d bytes of %d, %v", c, i, how, size, len(got), len(content), err)
					}
					d.Close()
				}
			}
		}
	}
}

// TestFlushAfterLinger: when the source pauses, what it has given is there to
// be read after Linger, also if it never pauses for that long.
func TestFlushAfterLinger(t *testing.T) {
	for c := range codings {
		for _, step := range []time.Duration{time.Millisecond, time.Second, Linger} {
			t.Run(fmt.Sprint(c, step), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var pool Pool
					parts := []string{"<html>", "<p>first", strings.Repeat("<p>second", 5000), "x", "y", "z", "</html>"}
					type sent struct {
						end int
						at  time.Time
					}
					sents := make(chan sent, len(parts))
					pr, pw := io.Pipe()
					go func() {
						total := 0
						for _, part := range parts {
							total += len(part)
							sents <- sent{total, time.Now()}
							io.WriteString(pw, part)
							time.Sleep(step) // of the bubble's clock: it takes no time
						}
						pw.Close()
					}()
					e := pool.NewEncoder(pr, c)
					d := pool.NewDecoder(e, c)
					got := 0
					for range parts {
						s := <-sents
						if _, err := io.ReadFull(d, make([]byte, s.end-got)); err != nil {
							t.Fatal(err)
						}
						if waited := time.Since(s.at); waited > Linger {
							t.Errorf("byte %d waited for %v", s.end, waited)
						}
						got = s.end
					}
					if n, err := d.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("%d, %v", n, err)
					}
					d.Close()
					e.Close()
				})
			})
		}
	}
}

// TestNoFlushWithoutAPause: a page that arrives at once costs what it would
// cost to encode it in one go, and is read in few pieces.
func TestNoFlushWithoutAPause(t *testing.T) {
	page := bytes.Repeat(vector(t, "page.html"), 5)
	for c := range codings {
		synctest.Test(t, func(t *testing.T) {
			var pool Pool
			m := pool.press(c)
			for p := page; len(p) > 0; p = p[min(len(p), chunkSize):] {
				m.do.Write(p[:min(len(p), chunkSize)])
			}
			m.do.Close()
			want := m.out.Len()
			e := pool.NewEncoder(bytes.NewReader(page), c)
			defer e.Close()
			buf := make([]byte, 32<<10)
			got, reads := 0, 0
			for {
				n, err := e.Read(buf)
				if got += n; err == io.EOF {
					break
				}
				reads++
			}
			if got != want || reads > 1+want/len(buf) {
				t.Errorf("%v: %d bytes in %d reads; in one go %d", c, got, reads, want)
			}
		})
	}
}

// TestSourceFails: everything that the source gave comes, then its error, and
// no end of the coding.
func TestSourceFails(t *testing.T) {
	dice := dice(t)
	page := vector(t, "page.html")
	reset := errors.New("reset by peer")
	var pool Pool
	for c := range codings {
		for _, end := range []error{reset, io.ErrUnexpectedEOF} {
			e := pool.NewEncoder(io.MultiReader(bytes.NewReader(page), iotest.ErrReader(end)), c)
			out, err := drain(e, 0, dice)
			if err != end {
				t.Errorf("%v: %v", c, err)
			}
			e.Close()
			d := pool.NewDecoder(bytes.NewReader(out), c)
			got, err := io.ReadAll(d)
			if !bytes.Equal(got, page) || c != Identity && !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v: then it decodes to %d bytes of %d, %v", c, len(got), len(page), err)
			}
			d.Close()
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestSourceMisbehaves(t *testing.T) {
	var pool Pool
	for name, c := range map[string]struct {
		src  readerFunc
		want string
	}{
		"panic":   {func([]byte) (int, error) { panic("out of order") }, "out of order"},
		"nothing": {func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress.Error()},
	} {
		e := pool.NewEncoder(c.src, Gzip)
		if _, err := io.ReadAll(e); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		e.Close()
	}
}

// TestCloseEndsTheGoroutine: synctest.Test fails if one is left, and if Close
// waits for what never comes.
func TestCloseEndsTheGoroutine(t *testing.T) {
	page := vector(t, "page.html")
	for name, use := range map[string]func(e *Encoder, pr *io.PipeReader, pw *io.PipeWriter){
		"never read": func(*Encoder, *io.PipeReader, *io.PipeWriter) {},
		"the source waits": func(e *Encoder, pr *io.PipeReader, pw *io.PipeWriter) {
			go pw.Write(page[:100])
			e.Read(make([]byte, 10))
			synctest.Wait()
			pr.Close()
		},
		"the source is ahead": func(e *Encoder, pr *io.PipeReader, pw *io.PipeWriter) {
			go func() {
				for range 100 {
					pw.Write(page)
				}
			}()
			e.Read(make([]byte, 10))
			synctest.Wait()
			pr.Close()
		},
		"the source has ended": func(e *Encoder, pr *io.PipeReader, pw *io.PipeWriter) {
			pw.Close()
			e.Read(make([]byte, 10))
		},
		"the source has failed": func(e *Encoder, pr *io.PipeReader, pw *io.PipeWriter) {
			pw.CloseWithError(errors.New("reset by peer"))
			e.Read(make([]byte, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var pool Pool
				pr, pw := io.Pipe()
				e := pool.NewEncoder(pr, Gzip)
				use(e, pr, pw)
				e.Close()
				e.Close()
			})
		})
	}
}

// TestCloseReadsNoMore: after the Read that Close waits for there is no other.
func TestCloseReadsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads, more := 0, make(chan bool)
		var pool Pool
		e := pool.NewEncoder(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 1 {
				<-more
			}
			return copy(p, "<p>"), nil
		}), Gzip)
		e.Read(make([]byte, 1))
		closed := make(chan bool)
		go func() {
			e.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close doesn't wait for the source")
		default:
		}
		close(more)
		<-closed
		if reads != 2 {
			t.Errorf("the source was read %d times", reads)
		}
	})
}

// TestPoolKeepsPagesApart runs many at a time through one pool; the race
// detector and every page's own bytes tell if two share what they must not.
func TestPoolKeepsPagesApart(t *testing.T) {
	var pool Pool
	for i := range 60 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			content := bytes.Repeat([]byte(fmt.Sprintf("<p>this is page %d</p>\n", i)), 500+100*i)
			for c := range codings {
				e := pool.NewEncoder(ragged{bytes.NewReader(content), dice(t)}, c)
				d := pool.NewDecoder(e, c)
				if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v: %d bytes of %d, %v", c, len(got), len(content), err)
				}
				d.Close()
				e.Close()
			}
		})
	}
}

// FuzzRoundTrip: whatever goes in comes out again, however it is cut.
func FuzzRoundTrip(f *testing.F) {
	f.Add(byte(Gzip), vector(f, "page.html")[:500], uint16(1))
	f.Add(byte(Brotli), []byte(strings.Repeat("abc", 900)), uint16(100))
	f.Add(byte(Zstd), []byte{}, uint16(0))
	f.Add(byte(Deflate), []byte("\x78\x9c"), uint16(3))
	var pool Pool
	f.Fuzz(func(t *testing.T, which byte, content []byte, cut uint16) {
		c := Coding(which % byte(codings))
		at := int(cut) % (len(content) + 1)
		one, two := rand.New(rand.NewPCG(uint64(cut), 1)), rand.New(rand.NewPCG(uint64(cut), 2)) // the same for the same input
		e := pool.NewEncoder(io.MultiReader(bytes.NewReader(content[:at]), ragged{bytes.NewReader(content[at:]), one}), c)
		defer e.Close()
		d := pool.NewDecoder(e, c)
		defer d.Close()
		if got, err := drain(d, 0, two); err != io.EOF || !bytes.Equal(got, content) {
			t.Errorf("%v: %d bytes of %d, %v", c, len(got), len(content), err)
		}
	})
}

func BenchmarkEncoder(b *testing.B) {
	page := vector(b, "page.html")
	var pool Pool
	buf := make([]byte, 32<<10)
	for _, c := range coded {
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(page)))
			b.ReportAllocs()
			for b.Loop() {
				e := pool.NewEncoder(bytes.NewReader(page), c)
				if _, err := io.CopyBuffer(onlyWriter{io.Discard}, e, buf); err != nil {
					b.Fatal(err)
				}
				e.Close()
			}
		})
	}
}

func BenchmarkDecoder(b *testing.B) {
	var pool Pool
	buf := make([]byte, 32<<10)
	for _, v := range vectors {
		in := vector(b, v.name)
		b.Run(v.name, func(b *testing.B) {
			b.SetBytes(int64(len(vector(b, "page.html"))))
			b.ReportAllocs()
			for b.Loop() {
				d := pool.NewDecoder(bytes.NewReader(in), v.coding)
				if _, err := io.CopyBuffer(onlyWriter{io.Discard}, d, buf); err != nil {
					b.Fatal(err)
				}
				d.Close()
			}
		})
	}
}

// onlyWriter hides io.ReaderFrom.
type onlyWriter struct{ io.Writer }
