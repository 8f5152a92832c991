package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
)

// While a segment is warming, events go on and it is true for nobody. A crash
// in the middle begins the warming again, and it ends with the same.
func TestCrashWhileWarming(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	s := open(t, dir, c, nil)
	const visitors = 3 * warmChunk
	name := func(i int) string { return fmt.Sprint("v", i) }
	var batch []*events.Event
	for i := range visitors {
		batch = append(batch, track(c, name(i), "Report Exported"))
	}
	appendAll(t, s, batch...)
	set := edited(t, "segments/exporters.yaml", "in_last: 7d", `times: ">= 2", in_last: 7d`)
	image := t.TempDir()
	warm := make(chan struct{})
	if err := s.Use(context.Background(), set, func() { close(warm) }); err != nil {
		t.Fatal(err)
	}
	err := s.do(context.Background(), func(w *writer) error {
		if len(s.Warming()) == 0 {
			t.Error("it is warm already: the image is not of a warming")
		}
		return os.CopyFS(filepath.Join(image, "copy"), os.DirFS(dir))
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range visitors {
		if i%2 == 0 {
			appendAll(t, s, track(c, name(i), "Report Exported"))
		}
		if holds(s, name(i), "exporters", set, c.now()) && len(s.Warming()) > 0 {
			t.Fatalf("the segment holds for %s while it is warming", name(i))
		}
	}
	<-warm
	for i := range visitors {
		if got := holds(s, name(i), "exporters", set, c.now()); got != (i%2 == 0) {
			t.Fatalf("%s: %v", name(i), got)
		}
	}
	closed(t, s)

	s, err = Open(Options{Dir: filepath.Join(image, "copy"), Log: slog.New(slog.DiscardHandler), Now: c.now, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, s)
	warm = make(chan struct{})
	if err := s.Use(context.Background(), set, func() { close(warm) }); err != nil {
		t.Fatal(err)
	}
	for i := range visitors {
		if i%3 == 0 {
			appendAll(t, s, track(c, name(i), "Report Exported"))
		}
	}
	if len(s.Warming()) > 0 {
		<-warm
	}
	for i := range visitors {
		if got := holds(s, name(i), "exporters", set, c.now()); got != (i%3 == 0) {
			t.Fatalf("after a crash, %s: %v", name(i), got)
		}
	}
}

// A time that no clock can mean is not believed, and counted.
func TestTimesThatAreWrongByYears(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	slow, fast, right := track(c, "ann", "X"), track(c, "ann", "X"), track(c, "ann", "X")
	slow.Time = epoch.AddDate(-10, 0, 0)
	fast.Time = epoch.AddDate(10, 0, 0)
	right.Time = epoch.Add(-storeLate)
	dated := track(c, "ann", "X") // as the mounts do it
	dated.Date(epoch.AddDate(3, 0, 0), time.Time{}, epoch, storeLate)
	ahead := track(c, "ann", "X")
	ahead.Date(epoch.Add(time.Second), time.Time{}, epoch, storeLate)
	appendAll(t, s, slow, fast, right, dated, ahead)
	for i, e := range logged(t, s) {
		if want := []int64{0, 0, storeLate.Milliseconds(), 0, 0}[i]; epoch.UnixMilli()-e.Time.UnixMilli() != want {
			t.Errorf("event %d happened %v before it was received", i, epoch.Sub(e.Time))
		}
	}
	if n := s.Counters().Clamped; n != 3 {
		t.Errorf("%d clamped", n)
	}
}
