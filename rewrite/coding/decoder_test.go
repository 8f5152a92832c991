package coding

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// vectors are one page as the reference implementations encode it: zlib and
// brotli by Node.js, zstd and gzip by their command lines. members.gz is two
// members; frames.zst is two frames, one without a checksum, with one to be
// skipped between them.
var vectors = []struct {
	name   string
	coding Coding
}{
	{"page.html", Identity}, {"page.gz", Gzip}, {"members.gz", Gzip}, {"page.br", Brotli}, {"page.zst", Zstd}, {"frames.zst", Zstd},
	{"page.zlib", Deflate}, {"page.deflate", Deflate},
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// encoded is content in a coding, by a real encoder at its usual settings.
func encoded(t testing.TB, c Coding, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := writer(t, c, &out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type flusher interface {
	io.WriteCloser
	Flush() error
}

func writer(t testing.TB, c Coding, to io.Writer) flusher {
	switch c {
	case Gzip:
		return stdgzip.NewWriter(to)
	case Brotli:
		return brotli.NewWriter(to)
	case Zstd:
		w, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
		if err != nil {
			t.Fatal(err)
		}
		return w
	case Deflate:
		return stdzlib.NewWriter(to)
	}
	return &verbatim{to}
}

// coded are the codings that do something.
var coded = [...]Coding{Gzip, Brotli, Zstd, Deflate}

var seed = flag.Uint64("seed", 1, "of the random lengths; 0 takes another each time")

// dice are random numbers that can be had again.
func dice(t testing.TB) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

// drain reads everything in reads of n bytes, or, where that is 0, of random
// lengths.
func drain(r io.Reader, n int, d *rand.Rand) ([]byte, error) {
	var all []byte
	buf := make([]byte, max(n, 5000))
	for {
		size := n
		if n == 0 {
			size = 1 + d.IntN(len(buf))
		}
		m, err := r.Read(buf[:size])
		all = append(all, buf[:m]...)
		if err != nil {
			return all, err
		}
	}
}

// ragged reads random lengths, none among them.
type ragged struct {
	io.Reader
	*rand.Rand
}

func (r ragged) Read(p []byte) (int, error) {
	if r.IntN(4) == 0 {
		return 0, nil
	}
	return r.Reader.Read(p[:1+r.IntN(min(len(p), 700))])
}

func TestDecoder(t *testing.T) {
	dice := dice(t)
	want := vector(t, "page.html")
	var pool Pool
	for _, v := range vectors {
		in := vector(t, v.name)
		for how, src := range map[string]func(io.Reader) io.Reader{
			"whole":      func(r io.Reader) io.Reader { return r },
			"ragged":     func(r io.Reader) io.Reader { return ragged{r, dice} },
			"one byte":   iotest.OneByteReader,
			"data + EOF": iotest.DataErrReader,
		} {
			for _, size := range []int{0, 1, 3, 4096} {
				d := pool.NewDecoder(src(bytes.NewReader(in)), v.coding)
				if got, err := drain(d, size, dice); err != io.EOF || !bytes.Equal(got, want) {
					t.Errorf("%s, source %s, reads of %d: %d bytes of %d, %v", v.name, how, size, len(got), len(want), err)
				}
				if d.Original() != nil && len(want) > 0 {
					t.Errorf("%s: there is an original after all was read", v.name)
				}
				d.Close()
			}
		}
	}
}

func TestEmptyContent(t *testing.T) {
	var pool Pool
	for _, c := range coded {
		d := pool.NewDecoder(bytes.NewReader(encoded(t, c, nil)), c)
		if err := d.Peek(); err != nil {
			t.Errorf("%v: Peek: %v", c, err)
		}
		if got, err := io.ReadAll(d); err != nil || len(got) != 0 {
			t.Errorf("%v: %q, %v", c, got, err)
		}
		d.Close()
	}
}

// TestTruncated cuts at every byte: what comes is the beginning of the page and
// an error; where nothing comes the original does.
func TestTruncated(t *testing.T) {
	dice := dice(t)
	page := vector(t, "page.html")[:3000]
	var pool Pool
	var tested [codings]bool
	for _, c := range append(coded[:], Deflate) {
		sound := encoded(t, c, page)
		if tested[c] {
			sound = bare(page)
		}
		tested[c] = true
		for cut := range sound {
			in := sound[:cut]
			for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, errors.New("reset by peer")} {
				d := pool.NewDecoder(io.MultiReader(bytes.NewReader(in), iotest.ErrReader(end)), c)
				got, err := drain(d, 0, dice)
				switch {
				case err == io.EOF || end != io.EOF && err != end || end == io.EOF && !errors.Is(err, ErrCorrupt):
					t.Errorf("%v cut at %d of %d by %v: %v", c, cut, len(sound), end, err)
				case !bytes.HasPrefix(page, got):
					t.Errorf("%v cut at %d: not what the page begins with", c, cut)
				case len(got) == 0:
					if original, err := drain(d.Original(), 0, dice); err != end || !bytes.Equal(original, in) {
						t.Errorf("%v cut at %d by %v: the original is %d bytes, %v", c, cut, end, len(original), err)
					}
				}
				d.Close()
			}
		}
	}
}

// bare is content as deflate without zlib around it.
func bare(content []byte) []byte {
	var out bytes.Buffer
	w, _ := stdflate.NewWriter(&out, 6) // the level exists
	w.Write(content)
	w.Close()
	return out.Bytes()
}

// TestCorrupt changes every byte: nobody takes what comes for the whole page
// unless it is. Brotli and bare deflate have no checksum.
func TestCorrupt(t *testing.T) {
	dice := dice(t)
	page := vector(t, "page.html")[:3000]
	var pool Pool
	refused := map[Coding]int{}
	for _, c := range coded {
		sound := encoded(t, c, page)
		for i := range sound {
			in := bytes.Clone(sound)
			in[i] ^= 1 << (i % 8)
			d := pool.NewDecoder(bytes.NewReader(in), c)
			got, err := drain(d, 0, dice)
			if c != Brotli && err == io.EOF && !bytes.Equal(got, page) {
				t.Errorf("%v with byte %d changed: a sound end of what is not the page", c, i)
			}
			if err != io.EOF {
				refused[c]++
			}
			if d.broken {
				t.Errorf("%v with byte %d changed: %v", c, i, err)
			}
			if len(got) == 0 {
				if original, err := io.ReadAll(d.Original()); err != nil || !bytes.Equal(original, in) {
					t.Errorf("%v with byte %d changed: the original is %d bytes, %v", c, i, len(original), err)
				}
			}
			d.Close()
		}
		if refused[c]*10 < len(sound)*8 && c != Brotli || refused[c] == 0 {
			t.Errorf("%v: %d of %d changed bytes are an error", c, refused[c], len(sound))
		}
	}
}

func TestTrailing(t *testing.T) {
	var pool Pool
	for _, v := range vectors[1:] {
		for _, more := range []string{"\x00", "\x00\x00", "garbage that is no header of any coding", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
			for how, src := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader} {
				if v.coding == Brotli && len(more) == 1 && how == "one byte" {
					continue // not seen: see unbrotli
				}
				d := pool.NewDecoder(src(strings.NewReader(string(vector(t, v.name))+more)), v.coding)
				if _, err := io.ReadAll(d); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s with %q after it, source %s: %v", v.name, more, how, err)
				}
				d.Close()
			}
		}
	}
}

// TestRefused: what is wrong from the start goes through as it is.
func TestRefused(t *testing.T) {
	page := vector(t, "page.html")
	wide := func(window int) []byte {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(page)
		w.Flush() // or the frame would be no wider than the page
		w.Close()
		return out.Bytes()
	}
	var pool Pool
	if got, err := io.ReadAll(pool.NewDecoder(bytes.NewReader(wide(zstdWindow)), Zstd)); err != nil || !bytes.Equal(got, page) {
		t.Errorf("zstd with the largest window: %d bytes, %v", len(got), err)
	}
	skip := string("\x50\x2a\x4d\x18\x00\x00\x10\x00") + strings.Repeat("x", 1<<20)
	dictionary := encoded(t, Deflate, page)
	dictionary[1] = dictionary[1]&^0x1f | 0x20
	dictionary[1] += byte(31 - (int(dictionary[0])<<8|int(dictionary[1]))%31)
	for name, c := range map[string]struct {
		coding Coding
		in     string
	}{
		"nothing":                {Gzip, ""},
		"a page, not gzip":       {Gzip, string(page)},
		"a page, not br":         {Brotli, string(page)},
		"a page, not zstd":       {Zstd, string(page)},
		"a page, not deflate":    {Deflate, string(page)},
		"a window of 16 MiB":     {Zstd, string(wide(2 * zstdWindow))},
		"a large brotli window":  {Brotli, "\x11\x1e" + string(page)},
		"1 MiB of nothing":       {Zstd, skip + string(encoded(t, Zstd, page))},
		"a preset dictionary":    {Deflate, string(dictionary)},
		"small, a bad checksum":  {Gzip, flip(encoded(t, Gzip, page[:2000]), -6)},
		"small, a bad zlib sum":  {Deflate, flip(encoded(t, Deflate, page[:2000]), -1)},
		"small, a bad zstd hash": {Zstd, flip(encoded(t, Zstd, page[:2000]), -1)},
	} {
		d := pool.NewDecoder(strings.NewReader(c.in), c.coding)
		if err := d.Peek(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		original, err := io.ReadAll(d.Original())
		if err != nil || string(original) != c.in {
			t.Errorf("%s: the original is %d bytes of %d, %v", name, len(original), len(c.in), err)
		}
		d.Close()
	}
}

// flip changes the byte at i, from the end if that is negative.
func flip(b []byte, i int) string {
	b[(i+len(b))%len(b)] ^= 0x10
	return string(b)
}

// TestOriginalOutlivesTheDecoder: what it reads must not be another page's.
func TestOriginalOutlivesTheDecoder(t *testing.T) {
	var pool Pool
	bad := strings.Repeat("no gzip at all ", 3000)
	d := pool.NewDecoder(strings.NewReader(bad), Gzip)
	if d.Peek() == nil {
		t.Fatal("it is")
	}
	original := d.Original()
	d.Close()
	for range 4 {
		other := pool.NewDecoder(bytes.NewReader(vector(t, "page.gz")), Gzip)
		other.Peek()
		defer other.Close()
	}
	if got, err := io.ReadAll(original); err != nil || string(got) != bad {
		t.Errorf("%.60q…, %v", got, err)
	}
	if d.Original() != nil {
		t.Error("a closed decoder has an original")
	}
	if _, err := d.Read(make([]byte, 1)); err != io.ErrClosedPipe {
		t.Errorf("a closed decoder reads: %v", err)
	}
}

// zeros gives n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestExpansion(t *testing.T) {
	dice := dice(t)
	var pool Pool
	for _, c := range coded {
		var bomb bytes.Buffer
		w := writer(t, c, &bomb)
		io.Copy(w, zeros(10<<20))
		w.Close()
		d := pool.NewDecoder(bytes.NewReader(bomb.Bytes()), c)
		n, err := io.Copy(io.Discard, d)
		limit := max(expansionGrace, int64(bomb.Len())*MaxExpansion)
		if !errors.Is(err, ErrExpansion) || n < expansionGrace/2 || n > limit {
			t.Errorf("%v: %d bytes that were %d, %v", c, n, bomb.Len(), err)
		}
		d.Close()

		// Before that nobody looks, and a page may repeat itself.
		for name, content := range map[string][]byte{
			"a small one": make([]byte, expansionGrace),
			"repetitive":  bytes.Repeat(append(vector(t, "page.html")[:200], make([]byte, 2000)...), 1000),
		} {
			if name == "repetitive" {
				for i := range 1000 {
					copy(content[i*2200:], fmt.Sprint(i, dice.Uint64(), dice.Uint64()))
				}
			}
			d := pool.NewDecoder(bytes.NewReader(encoded(t, c, content)), c)
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%v, %s: %d bytes of %d, %v", c, name, len(got), len(content), err)
			}
			d.Close()
		}
	}
}

// TestDecoderStreams: what the source has flushed is read without asking it
// for more.
func TestDecoderStreams(t *testing.T) {
	dice := dice(t)
	page := vector(t, "page.html")
	var pool Pool
	for _, c := range coded {
		var out bytes.Buffer
		w := writer(t, c, &out)
		pr, pw := io.Pipe()
		flushed := make(chan int) // how much of the page
		go func() {
			for done := 0; done < len(page); {
				n := min(1+dice.IntN(9000), len(page)-done)
				w.Write(page[done : done+n])
				w.Flush()
				done += n
				flushed <- done
				io.Copy(pw, &out) // it is read when the test waits for it
			}
			w.Close()
			io.Copy(pw, &out)
			pw.Close()
		}()
		d := pool.NewDecoder(pr, c)
		got := make([]byte, 0, len(page))
		for len(got) < len(page) {
			// If the decoder waited for more than was flushed, this would be a
			// deadlock: nothing more is written until it is received.
			have := <-flushed
			b := make([]byte, have-len(got))
			if _, err := io.ReadFull(d, b); err != nil {
				t.Fatalf("%v: after %d bytes: %v", c, len(got), err)
			}
			got = append(got, b...)
		}
		if !bytes.Equal(got, page) {
			t.Errorf("%v: not the page", c)
		}
		if n, err := d.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%v: %d, %v", c, n, err)
		}
		d.Close()
	}
}

// TestBareDeflate: a stream without zlib around it must not be taken for one
// with it. Every 31st has two bytes that would be its check.
func TestBareDeflate(t *testing.T) {
	var pool Pool
	for i := range 50 * 50 {
		content := fmt.Sprintf("%c%c, a page", 'A'+i%50, 'A'+i/50)
		d := pool.NewDecoder(bytes.NewReader(bare([]byte(content))), Deflate)
		if got, err := io.ReadAll(d); err != nil || string(got) != content {
			t.Errorf("%q is %q, %v", content, got, err)
		}
		d.Close()
	}
}

// TestClosedTwice: what is given back twice would serve two pages at a time.
func TestClosedTwice(t *testing.T) {
	var pool Pool
	for c := range codings {
		d, e := pool.NewDecoder(strings.NewReader(""), c), pool.NewEncoder(strings.NewReader(""), c)
		for range 2 {
			d.Close()
			e.Close()
		}
		if one, two := pool.machinery(c), pool.machinery(c); one == two {
			t.Errorf("%v: two decoders share their machinery", c)
		}
		if one, two := pool.press(c), pool.press(c); one == two {
			t.Errorf("%v: two encoders share their press", c)
		}
	}
}

func TestPanicIsAnError(t *testing.T) {
	var pool Pool
	d := pool.NewDecoder(strings.NewReader("x"), Gzip)
	d.undo = nil
	if err := d.Peek(); !errors.Is(err, ErrCorrupt) || d.Original() == nil {
		t.Errorf("%v", err)
	}
	d.Close()
	if m := pool.machinery(Gzip); m.undo == nil {
		t.Error("what broke is used again")
	}
}

// FuzzDecoder: nothing makes a decompressor panic or a Decoder lose a byte, and
// where the standard library has the coding it comes to the same.
func FuzzDecoder(f *testing.F) {
	page := vector(f, "page.html")[:900]
	for _, c := range coded {
		f.Add(byte(c), encoded(f, c, page))
	}
	f.Add(byte(Deflate), bare(page))
	f.Add(byte(Gzip), append(encoded(f, Gzip, page[:10]), encoded(f, Gzip, page[10:20])...))
	f.Add(byte(Zstd), []byte("\x50\x2a\x4d\x18\x01\x00\x00\x00x"))
	var pool Pool
	f.Fuzz(func(t *testing.T, which byte, in []byte) {
		c := coded[int(which)%len(coded)]
		if which == byte(c) {
			c = Coding(which) // as the seeds mean it
		}
		dice := rand.New(rand.NewPCG(uint64(len(in)), 0)) // the same for the same input
		d := pool.NewDecoder(ragged{bytes.NewReader(in), dice}, c)
		defer d.Close()
		peeked := d.Peek()
		got, err := drain(io.LimitReader(d, 16<<20), 0, dice)
		if d.broken || errors.Is(err, io.ErrNoProgress) {
			t.Fatal(err)
		}
		if peeked != nil && (err == io.EOF || len(got) > 0) {
			t.Errorf("Peek says %v, then come %d bytes, %v", peeked, len(got), err)
		}
		if original := d.Original(); len(got) == 0 {
			if b, err := io.ReadAll(original); err != nil || !bytes.Equal(b, in) {
				t.Errorf("the original is %d bytes of %d, %v", len(b), len(in), err)
			}
		} else if original != nil {
			t.Error("an original beside its content")
		}
		if len(got) == 16<<20 || errors.Is(err, ErrExpansion) {
			return
		}
		if errors.Is(err, stdgzip.ErrHeader) {
			return // the standard library ignores the bits that RFC 1952, section 2.3.1.2, wants refused
		}
		if want, ok := standard(c, in); ok && err != io.EOF || err == io.EOF && c != Brotli && c != Zstd && (!ok || !bytes.Equal(got, want)) {
			t.Errorf("%v: %d bytes, %v; the standard library has %d, sound %v", c, len(got), err, len(want), ok)
		}
	})
}

// standard decodes with the standard library, and says whether that found a
// sound end with nothing behind it.
func standard(c Coding, in []byte) ([]byte, bool) {
	src := bytes.NewReader(in)
	var r io.Reader
	var err error
	switch c {
	case Gzip:
		r, err = stdgzip.NewReader(src)
	case Deflate:
		if r, err = stdzlib.NewReader(src); errors.Is(err, stdzlib.ErrHeader) {
			src.Seek(0, io.SeekStart)
			r, err = stdflate.NewReader(src), nil
		}
	default:
		return nil, false
	}
	if err != nil {
		return nil, false
	}
	b, err := io.ReadAll(r)
	return b, err == nil && src.Len() == 0
}
