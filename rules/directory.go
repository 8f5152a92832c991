package rules

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"
)

// maxFile is the longest file of a site directory, in bytes.
const maxFile = 1 << 20

// The parts of a site directory.
const (
	edgeFile      = "refract.yaml"
	approversFile = "approvers.yaml"
	segmentsDir   = "segments"
	surfacesDir   = "surfaces"
	rulesDir      = "rules"
	responsesDir  = "responses"
	approvalsDir  = "approvals"
)

// nameSyntax is what the name of a segment, surface, rule or response looks
// like.
var nameSyntax = syntax(`^[a-z0-9][a-z0-9._-]{0,99}$`)

const nameHint = "a name is made of the letters a-z, digits, '-', '.' and '_', begins with a letter or digit and has at most 100 of them"

// file is one file of a site directory.
type file struct {
	path string // relative to the directory, with slashes
	name string // without directory and extension: the name of what it defines
	data []byte // UTF-8 without byte order mark and NUL
	bad  bool   // it is there, but could not be read: the problem is reported
}

// directory reads a site directory's files and collects what is wrong with
// them.
type directory struct {
	root     string
	files    []file // all that were read
	problems Problems
	warnings Problems
}

func (d *directory) refuse(file, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: file, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (d *directory) warn(file, hint, format string, args ...any) {
	d.warnings = append(d.warnings, Problem{File: file, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// read reads one file. Links are followed: a directory mounted from a
// Kubernetes ConfigMap consists of them.
func (d *directory) read(name string) file {
	base := path.Base(name)
	f := file{path: name, name: strings.TrimSuffix(base, path.Ext(base)), bad: true}
	data, err := readRegular(filepath.Join(d.root, filepath.FromSlash(name)))
	if err != nil {
		d.refuse(name, hintFor(err), "can't be read: %v", plain(err))
		return f
	}
	if len(data) > maxFile {
		d.refuse(name, "", "is longer than %d bytes", maxFile)
		return f
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if at := notText(data); at >= 0 {
		line, column := position(data, at)
		d.problems = append(d.problems, Problem{name, line, column, "is not UTF-8 text", "save the file as UTF-8"})
		return f
	}
	f.data, f.bad = data, false
	d.files = append(d.files, f)
	return f
}

// readRegular reads at most a little more than maxFile bytes of a file that is
// a regular one: opening a pipe would wait for its writer.
func readRegular(name string) ([]byte, error) {
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// list reads the files of a sub-directory that end in ext. A sub-directory
// that is missing is an empty one; what looks like a mistake is reported.
func (d *directory) list(dir, ext string) []file {
	entries, err := os.ReadDir(filepath.Join(d.root, dir))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.refuse(dir, hintFor(err), "can't be read: %v", plain(err))
		}
		return nil
	}
	var files []file
	for _, e := range entries {
		base := e.Name()
		name := dir + "/" + base
		stem, found := strings.CutSuffix(base, ext)
		switch {
		case strings.HasPrefix(base, "."), strings.HasPrefix(base, "#"), strings.HasSuffix(base, "~"):
		case found && nameSyntax().MatchString(stem):
			files = append(files, d.read(name))
		case found:
			d.refuse(name, nameHint, "%q can't be a name", stem)
		case e.IsDir():
			d.refuse(name, "files lie directly in "+dir+"/", "is a directory")
		case meansExtension(path.Ext(base), ext):
			d.refuse(name, "rename it to "+strings.TrimSuffix(base, path.Ext(base))+ext, "does not end in %s", ext)
		default:
			d.warn(name, "", "is not read: it does not end in %s", ext)
		}
	}
	return files
}

// meansExtension says whether an extension is probably meant to be another.
func meansExtension(ext, want string) bool {
	switch strings.ToLower(ext) {
	case ".yaml", ".yml", ".json":
		return want == ".yaml"
	case ".html", ".htm", ".xhtml":
		return want == ".html"
	}
	return false
}

// strays warns of entries that are probably meant to be one of the parts.
func (d *directory) strays() {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return // Load has looked at the directory itself
	}
	parts := []string{segmentsDir, surfacesDir, rulesDir, responsesDir, approvalsDir}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if near := nearest(e.Name(), parts); near != "" {
			d.warn(e.Name(), "did you mean "+near+"/?", "is not read")
		}
	}
}

// revision is the hash of the files' paths and contents.
func revision(files []file) string {
	var parts []string
	for _, f := range slices.SortedFunc(slices.Values(files), func(a, b file) int { return strings.Compare(a.path, b.path) }) {
		parts = append(parts, f.path, string(f.data))
	}
	return hash(parts...)
}

// hash is the beginning of the digest, 12 hex digits.
func hash(parts ...string) string { return digest(parts...)[:12] }

// digest is the SHA-256 of the parts, each with its length before it, in hex.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// notText returns the offset of the first byte that is NUL or not UTF-8, or -1.
func notText(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// position returns the line and column, from 1, of an offset.
func position(b []byte, at int) (line, column int) {
	start := bytes.LastIndexByte(b[:at], '\n') + 1
	return bytes.Count(b[:start], []byte("\n")) + 1, utf8.RuneCount(b[start:at]) + 1
}

// plain is the error without the operation and the path that it was about.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "the user that refract runs as must be allowed to read it"
	case errors.Is(err, syscall.ELOOP):
		return "it is a symbolic link that leads back to itself"
	case errors.Is(err, fs.ErrNotExist):
		return "it is a symbolic link to a file that is not there"
	}
	return ""
}
