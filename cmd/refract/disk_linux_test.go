package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk is a file system of its own for a site's data.
type smallDisk struct {
	t    *testing.T
	path string
	fill *os.File
}

func newSmallDisk(t *testing.T, dir string) *smallDisk {
	t.Helper()
	d := &smallDisk{t: t, path: filepath.Join(dir, "data")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.path, "tmpfs", 0, "size=400m"); err != nil {
		t.Skipf("a file system of its own is needed: %v", err)
	}
	t.Cleanup(func() { // after refract has ended
		if err := syscall.Unmount(d.path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

// fillTo leaves so many bytes free.
func (d *smallDisk) fillTo(left int64) {
	d.t.Helper()
	var err error
	if d.fill, err = os.Create(filepath.Join(d.path, "fill")); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { d.fill.Close() })
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.path, &st); err != nil {
		d.t.Fatal(err)
	}
	if err := syscall.Fallocate(int(d.fill.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-left); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := d.fill.Truncate(0); err != nil {
		d.t.Fatal(err)
	}
}

// sendOne sends an event and returns the answer's status and headers.
func (r *refract) sendOne(properties string) *http.Response {
	r.t.Helper()
	resp, _ := r.do(http.MethodPost, ingestMounts+"segment/v1/track", "",
		strings.NewReader(`{"event":"E","userId":"ann","properties":{"p":"`+properties+`"}}`), "Authorization", "Basic dGVzdC1rZXk6")
	return resp
}

func TestFullDisk(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	disk := newSmallDisk(t, dir)
	r := start(t, dir)
	r.send("track", map[string]any{"event": "Report Exported", "userId": "ann"})
	page := r.get("/reports", "ann")

	disk.fillTo(64 << 20)
	eventually(t, "not ready on a full disk", func() bool {
		status, body := r.ask(http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable && strings.Contains(body, "less than 128 MiB are free")
	})
	if resp := r.sendOne(""); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("an event on a full disk: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	if after := r.get("/reports", "ann"); after != page {
		t.Errorf("the page on a full disk: %q, before: %q", after, page)
	}
	r.metric(`refract_ingest_refused_total{reason="unavailable"} 1`)
	r.metric("refract_store_up 0")
	if !strings.Contains(r.stderr(), "the disk is nearly full") {
		t.Error("the log does not say that the disk is full")
	}

	disk.free()
	eventually(t, "events are taken again", func() bool { return r.sendOne("").StatusCode == http.StatusOK })
	if status, body := r.ask(http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("with room again: %d %s", status, body)
	}
	r.metric("refract_store_up 1")
	r.stop()
}

// A disk that fills up before anyone looks takes the store down until the next
// start, and nothing else.
func TestDiskFullAtOnce(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	disk := newSmallDisk(t, dir)
	r := start(t, dir)
	r.send("track", map[string]any{"event": "Report Exported", "userId": "ann"})
	disk.fillTo(0)
	refused := false
	for range 1000 { // of 32 KiB: somewhere the log needs another page
		if refused = r.sendOne(strings.Repeat("x", 32<<10)).StatusCode == http.StatusServiceUnavailable; refused {
			break
		}
	}
	if !refused {
		t.Fatal("every event is taken on a full disk")
	}
	for _, visitor := range []string{"ann", "bob", ""} {
		if resp, body := r.do(http.MethodGet, "/reports", visitor, nil); resp.StatusCode != http.StatusOK || !strings.HasSuffix(body, "</section><p>rest</body></html>") {
			t.Errorf("the page on a full disk: %s %q", resp.Status, body)
		}
	}
	if resp, _ := r.do(http.MethodPost, "/reports/1/export", "bob", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("an export on a full disk: %s", resp.Status)
	}
	if status, body := r.ask(http.MethodGet, "/readyz", nil); status != http.StatusServiceUnavailable || !strings.Contains(body, "the store takes no writes") {
		t.Errorf("ready on a full disk: %d %s", status, body)
	}
	r.metric(`refract_ingest_refused_total{reason="unavailable"} 1`)
	r.metric("refract_store_up 0")
	r.kill()

	disk.free()
	r = start(t, dir)
	r.get("/reports", "ann")
	r.settle()
	if st := r.rule("schedule-report"); st.Treatment.Exposed+st.Control.Exposed != 1 {
		t.Error("what was acknowledged before the disk was full is not known after it")
	}
	r.stop()
}
