package cohorts

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// Limits of an upload.
const (
	// MaxMembers is the largest number of ids in one upload.
	MaxMembers = 10_000_000
	// maxLine is the longest line, or record of a CSV, in bytes.
	maxLine = 64 << 10
	// maxText is the longest text, in bytes, after decompression.
	maxText = 4 << 30
)

// Upload is a whole membership as a list of ids, in one of these forms:
//
//   - CSV (RFC 4180) with a header row, its fields separated by commas,
//     semicolons or tabs. Column says which column has the ids.
//   - CSV of one column without a header, which is ids as plain lines.
//   - JSON Lines: objects whose member Column has the id, or strings.
//
// Which of them it is, is told from its first line. It is UTF-8, with a byte
// order mark or without, and may be compressed by gzip.
type Upload struct {
	File string // what errors call it
	// Column names the column or member of the ids. Empty: the first that there
	// is of user_id, distinct_id, external_id, visitor and id, and of accounts of
	// account_id, group_id, account and id; letter case, "_", "-" and spaces don't
	// matter.
	Column   string
	Accounts bool // the ids are accounts', and not visitors'
}

// LineError is what is wrong with a line of an upload.
type LineError struct {
	File string
	Line int // from 1; 0: not of one line
	What string
	Hint string // what to do; or empty
}

func (e *LineError) Error() string {
	text := e.File
	if e.Line > 0 {
		text = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	text += ": " + e.What
	if e.Hint != "" {
		text += "\nhint: " + e.Hint
	}
	return text
}

// idNames are where ids are looked for, by whom they are of, as normal has them.
var idNames = map[segments.Who][]string{
	segments.Visitor: {"userid", "distinctid", "externalid", "visitor", "id"},
	segments.Account: {"accountid", "groupid", "account", "id"},
}

// normal is a column's name without what doesn't matter of it.
func normal(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(name)))
}

// Read returns the members that the upload lists, in its order, repetitions
// among them. They are all in memory, by some 130 bytes each at the most. A line
// that can't be read refuses all of it, by a *LineError; other errors are r's.
func (u Upload) Read(r io.Reader) ([]segments.Unit, error) {
	l := &list{Upload: u}
	err := l.read(r)
	var bad *LineError
	var corrupt flate.CorruptInputError
	switch {
	case err == nil:
		return l.members, nil
	case errors.As(err, &bad):
		return nil, bad
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, l.refuse(0, "send it again", "it breaks off after %d ids", len(l.members))
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt), errors.Is(err, errText):
		return nil, l.refuse(0, "", "%v", err)
	}
	return nil, fmt.Errorf("%s: %w", u.File, err)
}

// list is an upload that is being read.
type list struct {
	Upload
	members []segments.Unit
}

func (l *list) who() segments.Who {
	if l.Accounts {
		return segments.Account
	}
	return segments.Visitor
}

// names are those of the ids, the best first, as normal has them.
func (l *list) names() []string {
	if l.Column != "" {
		return []string{normal(l.Column)}
	}
	return idNames[l.who()]
}

func (l *list) refuse(line int, hint, format string, args ...any) error {
	return &LineError{l.File, line, fmt.Sprintf(format, args...), hint}
}

func (l *list) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, maxLine)
	if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = bufio.NewReaderSize(z, maxLine)
	}
	head, err := in.Peek(maxLine)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return l.refuse(1, "save it as UTF-8", "it is in UTF-16")
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return l.refuse(1, "save the sheet as CSV", "it is a zip archive or a workbook")
	case bytes.HasPrefix(head, []byte("\ufeff")):
		head = head[3:]
		_, _ = in.Discard(3) // they were peeked at
	}
	text := &bounded{r: in, left: maxText}
	first, _, _ := bytes.Cut(bytes.TrimSpace(head), []byte("\n"))
	first = bytes.TrimSpace(first)
	switch {
	case len(first) == 0:
		return l.refuse(0, "a header row alone, such as user_id, makes the cohort empty", "there is nothing in it")
	case first[0] == '[':
		return l.refuse(1, "jq -c '.[]' makes lines of it", "it is a JSON array, and not one value a line")
	case first[0] == '{', l.isString(first):
		return l.readJSON(text)
	}
	comma := ','
	if i := bytes.IndexAny(first, ",;\t"); i >= 0 {
		comma = rune(first[i])
	}
	return l.readCSV(text, comma)
}

// isString says whether a line is a JSON string rather than the quoted name of
// a column.
func (l *list) isString(line []byte) bool {
	if line[0] != '"' || !jsontext.Value(line).IsValid() {
		return false
	}
	_, named := l.column([]string{string(line[1 : len(line)-1])})
	return !named
}

// column returns which of the names in a header row is that of the ids.
func (l *list) column(header []string) (column int, ok bool) {
	for _, name := range l.names() {
		if i := slices.IndexFunc(header, func(h string) bool { return normal(h) == name }); i >= 0 {
			return i, true
		}
	}
	return 0, false
}

func (l *list) readCSV(text *bounded, comma rune) error {
	r := csv.NewReader(text)
	r.Comma, r.ReuseRecord, r.TrimLeadingSpace = comma, true, true
	column, line := 0, 0
	for first := true; ; first = false {
		record, err := r.Read()
		text.next()
		var bad *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			return l.refuse(bad.Line, "", "%v", bad.Err)
		case errors.Is(err, errLine):
			return l.refuse(line+1, "is a quotation mark missing?", "the record has more than %d bytes", maxLine)
		case err != nil:
			return err
		}
		line, _ = r.FieldPos(len(record) - 1)
		if first {
			i, named := l.column(record)
			switch {
			case named:
				column = i
				continue
			case l.Column != "":
				return l.refuse(1, "", "there is no column %q, there are: %s", l.Column, strings.Join(record, ", "))
			case len(record) > 1:
				return l.refuse(1, "--column NAME says which", "none of these columns is known to have ids: %s", strings.Join(record, ", "))
			}
		}
		id := record[column]
		if len(record) > 1 {
			id = strings.Clone(id) // the record is one string
		}
		if err := l.add(id, line); err != nil {
			return err
		}
	}
}

func (l *list) add(id string, line int) error {
	id = strings.TrimSpace(id)
	switch {
	case id == "":
		return l.refuse(line, "take out what has none", "there is no id")
	case len(id) > events.MaxID:
		return l.refuse(line, "", "the id is longer than %d bytes", events.MaxID)
	case !plain(id):
		return l.refuse(line, "", "the id has a control character, or is not UTF-8")
	case len(l.members) == MaxMembers:
		return l.refuse(line, "", "there are more than %d ids", MaxMembers)
	}
	l.members = append(l.members, segments.Unit{Who: l.who(), ID: id})
	return nil
}

// plain says whether an id is one that a request may have.
func plain(id string) bool {
	for i := range len(id) {
		if c := id[i]; c < ' ' || c >= 0x7f {
			return utf8.ValidString(id) && strings.IndexFunc(id, unicode.IsControl) < 0
		}
	}
	return true
}

var (
	errLine = errors.New("the line is too long")
	errText = fmt.Errorf("there are more than %d bytes", int64(maxText))
)

// bounded ends with an error where a record or all of the text is too long.
type bounded struct {
	r    io.Reader
	left int64 // of the text
	read int   // since the last record ended, and up to a buffer before
}

// next tells that a record has ended.
func (b *bounded) next() { b.read = 0 }

func (b *bounded) Read(p []byte) (int, error) {
	if b.read > maxLine {
		return 0, errLine
	}
	n, err := b.r.Read(p)
	b.read += n
	if b.left -= int64(n); b.left < 0 {
		return 0, errText
	}
	return n, err
}
