package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/seed14307185/refract/store"
)

// A file has at most so many lines, and bytes of letters.
const (
	maxLines     = 100_000
	maxFileBytes = 32 << 20
)

// files writes letters into a directory, for a warehouse. A file is of one day
// (UTC, by when the letter was written), is there as a whole or not at all, and
// is never changed. It is named after its first letter: after a crash the same
// letters are the same file again.
type files struct {
	dir, format string
	every       time.Duration
	most        int64 // bytes of the queue: files are written before it is full
}

// row is an exposure as a Parquet file has it.
type row struct {
	ID        string    `parquet:"id"`
	Time      time.Time `parquet:"time,timestamp(millisecond)"`
	Rule      string    `parquet:"rule,dict"`
	Version   string    `parquet:"version,dict"`
	Segment   string    `parquet:"segment,dict"`
	Surface   string    `parquet:"surface,dict"`
	Arm       string    `parquet:"arm,dict"`
	Treatment float64   `parquet:"treatment"`
	Unit      string    `parquet:"unit,dict"`
	UnitID    string    `parquet:"unit_id"`
	User      *string   `parquet:"user_id,optional"`
	Anonymous *string   `parquet:"anonymous_id,optional"`
}

func (f *files) limits() (letters, bytes int) {
	return maxLines, int(min(maxFileBytes, f.most/2))
}

// due is after the time that letters are gathered for, and at the day's end.
func (f *files) due(oldest time.Time) time.Time {
	midnight := oldest.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	if at := oldest.Add(f.every); at.Before(midnight) {
		return at
	}
	return midnight
}

// send writes one file of the letters that are of the first one's day.
func (f *files) send(_ context.Context, letters []store.Letter) result {
	r := result{dropped: map[Reason]int{}}
	day := letters[0].At.UTC().Format(time.DateOnly)
	var good []store.Exposed
	for _, l := range letters {
		if l.At.UTC().Format(time.DateOnly) != day {
			break
		}
		r.done++
		var x store.Exposed
		if json.Unmarshal(l.Body, &x) != nil {
			r.dropped[Damaged]++
			continue
		}
		good = append(good, x)
	}
	if len(good) == 0 {
		return r
	}
	name := fmt.Sprintf("exposures-%s-%d.%s", day, letters[0].Seq, f.format)
	if err := f.write(name, good); err != nil {
		return result{err: err}
	}
	return r
}

// write puts a file in its place once it is on disk.
func (f *files) write(name string, list []store.Exposed) (err error) {
	if err := os.MkdirAll(f.dir, 0o750); err != nil {
		return err
	}
	var b bytes.Buffer
	if f.format == "parquet" {
		err = writeParquet(&b, list)
	} else {
		err = writeLines(&b, list)
	}
	if err != nil {
		return err
	}
	temporary := filepath.Join(f.dir, "."+name+".tmp")
	to, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = to.Write(b.Bytes())
	if err = errors.Join(err, to.Sync(), to.Close()); err == nil {
		err = os.Rename(temporary, filepath.Join(f.dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeLines(w io.Writer, list []store.Exposed) error {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for i := range list {
		if err := lines.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeParquet(w io.Writer, list []store.Exposed) error {
	rows := make([]row, len(list))
	for i := range list {
		x := &list[i]
		rows[i] = row{
			x.ID, x.At, x.Rule, x.Version, x.Segment, x.Surface, string(x.Arm), x.Treatment, x.Unit, x.UnitID,
			given(x.User), given(x.Anonymous),
		}
	}
	to := parquet.NewGenericWriter[row](w, parquet.Compression(&parquet.Zstd))
	_, err := to.Write(rows)
	return errors.Join(err, to.Close())
}

// given is a text that may be missing.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
