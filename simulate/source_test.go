package simulate_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/seed14307185/refract/simulate"
)

// compressed returns the bytes as some tool would store them.
func compressed(t *testing.T, how string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	switch how {
	case "gzip": // of two members, as cat makes them
		for _, part := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
			w := gzip.NewWriter(&out)
			_, err = w.Write(part)
			err = errors.Join(err, w.Close())
		}
	case "zstd":
		w, e := zstd.NewWriter(&out)
		if e != nil {
			t.Fatal(e)
		}
		_, err = w.Write(b)
		err = errors.Join(err, w.Close())
	case "zip": // of a folder of gzip files, as Amplitude makes them
		z := zip.NewWriter(&out)
		half := bytes.LastIndexByte(b[:len(b)/2], '\n') + 1
		for name, part := range map[string][]byte{"1/1.json.gz": b[:half], "1/2.json.gz": b[half:]} {
			w, e := z.Create(name)
			if e != nil {
				t.Fatal(e)
			}
			_, err = w.Write(compressed(t, "gzip", part))
		}
		err = errors.Join(err, z.Close())
	default:
		return b
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCompression(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "events.jsonl")
	writeHistory(t, plain, 9_000) // more than two blocks
	lines, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	set := site(t, referenceSite)
	var want *simulate.Report
	for _, how := range []string{"", "gzip", "zstd", "zip"} {
		name := filepath.Join(dir, "events"+"."+how)
		if err := os.WriteFile(name, compressed(t, how, lines), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := simulate.Run(context.Background(), set, simulate.Options{Files: []string{name}, Now: future})
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if how == "zip" && (len(got.Files) != 2 || !strings.HasPrefix(got.Files[0], name+"/1/")) {
			t.Errorf("the zip archive's files are %q", got.Files)
		}
		got.Files = nil
		if want == nil {
			want = got
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nwant\n%+v", how, got, want)
		}
	}
}

// A file that ends in the middle is an error that says which.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	set := site(t, referenceSite)
	line := []byte(`{"kind":"track","name":"A","visitor":"u","time":"2026-03-01T00:00:00Z"}` + "\n")
	for _, how := range []string{"gzip", "zstd", "zip"} {
		b := compressed(t, how, bytes.Repeat(line, 5000))
		name := filepath.Join(dir, "events."+how)
		if err := os.WriteFile(name, b[:len(b)-len(b)/3], 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := simulate.Run(context.Background(), set, simulate.Options{Files: []string{name}, Now: future})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if _, err := simulate.Run(context.Background(), set, simulate.Options{Files: []string{filepath.Join(dir, "none")}, Now: future}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is missing: %v", err)
	}
}

// Lines that are too long, or no lines at all, leave the others as they are.
func TestLines(t *testing.T) {
	event := `{"kind":"track","name":"A","visitor":"u","time":"2026-03-01T00:00:00Z"}`
	long := `{"kind":"` + strings.Repeat("x", 20<<20) + `"}`
	r := run(t, []byte("\n\n"+event+"\r\n"+long+"\n"+event+"\nbad\n\n  \n"+long+"\n"+event), simulate.Options{}, referenceSite)
	var bad []string
	for _, b := range r.BadLines {
		bad = append(bad, b.String())
	}
	want := []string{"-:4:1: the line is longer than 8388608 bytes", "-:6:1: not JSON: invalid character 'b' at start of value", "-:9:1: the line is longer than 8388608 bytes"}
	if r.Events != 3 || r.Bad != 3 || !reflect.DeepEqual(bad, want) {
		t.Errorf("%d events, %d bad: %q", r.Events, r.Bad, bad)
	}
}

// Of many bad lines the first are shown, whoever read them first.
func TestFirstBadLines(t *testing.T) {
	event := `{"kind":"track","name":"A","visitor":"u","time":"2026-03-01T00:00:00Z"}` + "\n"
	lines := []byte(strings.Repeat(strings.Repeat(event, 3000)+"bad\n", 30))
	r := run(t, lines, simulate.Options{Workers: 4}, referenceSite)
	if r.Bad != 30 || len(r.BadLines) != 10 {
		t.Fatalf("%d bad lines, %d shown", r.Bad, len(r.BadLines))
	}
	for i, b := range r.BadLines {
		if b.Line != 3001*(i+1) {
			t.Errorf("bad line %d is %v", i, b)
		}
	}
	_, err := simulate.Run(context.Background(), site(t, referenceSite), simulate.Options{Files: []string{"-"}, Stdin: bytes.NewReader(lines), Strict: true, Workers: 4, Now: future})
	var strict *simulate.StrictError
	if !errors.As(err, &strict) || strict.Line.Line != 3001 {
		t.Errorf("strictly: %v", err)
	}
}

// What a file manager leaves in an archive is no history, an archive is known
// by its bytes, and a byte order mark is no part of a line.
func TestLitter(t *testing.T) {
	event := `{"kind":"track","name":"A","visitor":"u","time":"2026-03-01T00:00:00Z"}` + "\n"
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	for _, member := range []struct{ name, text string }{
		{"1/", ""}, {"1/empty.json", ""}, {"1/a/b/1.json", "\xef\xbb\xbf" + event}, {"1/2.json.gz", string(compressed(t, "gzip", []byte(event)))},
		{"__MACOSX/1/._2.json.gz", "\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"}, {"1/.DS_Store", "\x00\x00\x00\x01Bud1"},
	} {
		w, err := z.Create(member.name)
		if err == nil {
			_, err = w.Write([]byte(member.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	set := site(t, referenceSite)
	name := filepath.Join(t.TempDir(), "download")
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := simulate.Run(context.Background(), set, simulate.Options{Files: []string{name}, Strict: true, Now: future})
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 2 || len(r.Files) != 3 {
		t.Errorf("%d events of the files %q", r.Events, r.Files)
	}
	_, err = simulate.Run(context.Background(), set, simulate.Options{Files: []string{"-"}, Stdin: &packed, Now: future})
	if err == nil || !strings.Contains(err.Error(), "zip archive") {
		t.Errorf("an archive on standard input: %v", err)
	}
}

// A directory is all files in it and below, as vendors store exports in buckets.
func TestDirectory(t *testing.T) {
	event := `{"kind":"track","name":"A","visitor":"u","time":"2026-03-01T00:00:00Z"}` + "\n"
	dir := t.TempDir()
	for name, text := range map[string]string{
		"2026/03/01.jsonl": event, "2026/03/02.json.gz": string(compressed(t, "gzip", []byte(event))),
		"2026/04/all.zip": string(compressed(t, "zip", []byte(event+event))), "2026/.DS_Store": "\x00",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := simulate.Run(context.Background(), site(t, referenceSite), simulate.Options{Files: []string{dir}, Strict: true, Now: future})
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 4 || len(r.Files) != 4 {
		t.Errorf("%d events of the files %q", r.Events, r.Files)
	}
}

func FuzzRun(f *testing.F) {
	for _, form := range simulate.Forms() {
		b, err := os.ReadFile("testdata/forms/" + form + ".jsonl")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		for line := range bytes.Lines(b) {
			f.Add(line)
		}
	}
	set := site(f, exactSite)
	f.Fuzz(func(t *testing.T, lines []byte) {
		r, err := simulate.Run(context.Background(), set, simulate.Options{Files: []string{"-"}, Stdin: bytes.NewReader(lines), Group: "company", Now: future})
		if err != nil {
			return // nothing to read, or no gzip
		}
		for _, s := range r.Segments {
			for _, d := range s.Days {
				if d.Members < 0 {
					t.Errorf("%s: %+v", s.Name, d)
				}
			}
			if s.Ever < s.Flippers || s.Members > s.Ever {
				t.Errorf("%+v", s)
			}
		}
	})
}
