package simulate

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	blockSize = 1 << 20
	// maxLine is the longest line, in bytes.
	maxLine = 8 << 20
	// maxWindow bounds what a zstd frame makes its reader allocate.
	maxWindow = 256 << 20
	// byteOrderMark is U+FEFF in UTF-8.
	byteOrderMark = "\xef\xbb\xbf"
)

// block is some whole lines of a file.
type block struct {
	file int
	seq  uint64 // of its first byte, over all files
	line int    // number of its first line, from 1
	data []byte
	long bool // a line that is too long, of which this is the beginning
}

// source reads files, one after the other, into blocks.
type source struct {
	stdin  io.Reader
	names  []string // of the files; a zip file's members have theirs
	blocks chan<- block
	free   chan []byte // blocks that are done with
	seq    uint64
}

// read reads one name of the command line: a file, or all those in a directory
// and in those below it.
func (s *source) read(ctx context.Context, name string) error {
	if name == "-" {
		return s.unpacked(ctx, "-", s.stdin)
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return s.file(ctx, name)
	}
	return filepath.WalkDir(name, func(below string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || isLitter(below) {
			return err
		}
		return s.file(ctx, below)
	})
}

// file reads one file, which may be an archive of some.
func (s *source) file(ctx context.Context, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	magic := make([]byte, 4)
	if n, _ := file.ReadAt(magic, 0); !isZip(magic[:n]) {
		return s.unpacked(ctx, name, file)
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, member := range archive.File {
		if member.FileInfo().IsDir() || isLitter(member.Name) {
			continue
		}
		r, err := member.Open()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, member.Name, err)
		}
		err = s.unpacked(ctx, path.Join(name, member.Name), r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// isZip says whether a file that begins so is a zip archive: its first member,
// or the directory of an empty one, is there. ZIP specification 4.3.6.
func isZip(magic []byte) bool {
	return bytes.Equal(magic, []byte("PK\x03\x04")) || bytes.Equal(magic, []byte("PK\x05\x06"))
}

// isLitter says whether a file is what a file manager left among others:
// .DS_Store, and the attributes that macOS packs as __MACOSX/._NAME.
func isLitter(name string) bool {
	return strings.HasPrefix(path.Base(name), ".") || strings.HasPrefix(name, "__MACOSX/")
}

// unpacked reads what may be compressed: its first bytes tell.
func (s *source) unpacked(ctx context.Context, name string, r io.Reader) error {
	s.names = append(s.names, name)
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	r = b
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer z.Close()
		r = z
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer z.Close()
		r = z
	case isZip(magic):
		return fmt.Errorf("%s: a zip archive can be read from a file alone, not from a stream or from within another archive", name)
	}
	// PowerShell and Excel begin what they write as UTF-8 with a byte order mark.
	text := bufio.NewReaderSize(r, 64<<10)
	if mark, _ := text.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		text.Discard(len(mark))
	}
	if err := s.lines(ctx, text); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// lines cuts a file into blocks of whole lines.
func (s *source) lines(ctx context.Context, r io.Reader) error {
	line := 1
	var rest []byte // the beginning of a line whose end is not read yet
	skip := false   // the rest of a line that was too long
	for {
		data := append(s.buffer(len(rest)), rest...)
		data, err := fill(r, data)
		last := err == io.EOF // ErrUnexpectedEOF is a damaged archive's
		if err != nil && !last {
			return fmt.Errorf("after line %d: %w", line, err)
		}
		if skip {
			end := bytes.IndexByte(data, '\n')
			if end < 0 && !last {
				rest = nil
				continue
			}
			if end >= 0 {
				data, skip = data[end+1:], false
				line++
			} else {
				data = nil
			}
		}
		end := len(data)
		if !last {
			end = bytes.LastIndexByte(data, '\n') + 1
		}
		b := block{file: len(s.names) - 1, seq: s.seq, line: line, data: data[:end]}
		rest = append([]byte(nil), data[end:]...)
		if len(rest) > maxLine {
			b.data, b.long = rest[:100], true
			rest, skip = nil, true
		}
		lines := bytes.Count(b.data, []byte{'\n'})
		line += lines
		s.seq += uint64(len(b.data)) + 1
		if len(b.data) > 0 {
			select {
			case s.blocks <- b:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if last {
			return nil
		}
	}
}

// fill reads until a buffer is full, or the end.
func fill(r io.Reader, b []byte) ([]byte, error) {
	for len(b) < cap(b) {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// buffer returns an empty buffer with room for more than n bytes.
func (s *source) buffer(n int) []byte {
	if n < blockSize/2 {
		select {
		case b := <-s.free:
			if cap(b) >= blockSize {
				return b[:0]
			}
		default:
		}
	}
	return make([]byte, 0, n+blockSize)
}
