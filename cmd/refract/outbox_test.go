package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed14307185/refract/store"
)

// hook is a webhook that takes exposures.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	down   bool
	got    map[string][]store.Exposed // by the event's id
	units  map[string]string          // id by unit
	before func()                     // called before an answer
	took   chan int                   // how many ids have come, after each request
}

func newHook(t *testing.T) *hook {
	h := &hook{got: map[string][]store.Exposed{}, units: map[string]string{}, took: make(chan int, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		if err != nil || h.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var events []struct {
			ID   string
			Data store.Exposed
		}
		if err := json.Unmarshal(body, &events); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		for _, e := range events {
			h.got[e.ID] = append(h.got[e.ID], e.Data)
			unit := e.Data.Rule + " " + e.Data.UnitID
			if was := h.units[unit]; was != "" && was != e.ID {
				t.Errorf("%s has the ids %s and %s", unit, was, e.ID)
			}
			h.units[unit] = e.ID
		}
		if h.before != nil {
			h.before()
			h.before = nil
		}
		h.took <- len(h.got)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) set(down bool, before func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.down, h.before = down, before
}

// exposures puts destinations into a site of newSite.
func exposures(t *testing.T, dir, list string) {
	t.Helper()
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		before, _, _ := strings.Cut(s, "exposures:")
		if list == "" {
			return before
		}
		return before + "exposures: " + list + "\n"
	})
}

// expose has visitors see the page of schedule-report.
func (r *refract) expose(from, to int) {
	r.t.Helper()
	for i := from; i < to; i++ {
		v := fmt.Sprint("visitor-", i)
		r.send("track", map[string]any{"event": "Report Exported", "userId": v})
		r.get("/reports", v)
	}
	r.settle()
}

// TestExposuresSurviveKills kills the binary while its webhook is down, and
// again before a request is answered: every exposure that is counted arrives,
// under one id, and nothing else does.
func TestExposuresSurviveKills(t *testing.T) {
	h := newHook(t)
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	exposures(t, dir, "[{webhook: {url: "+h.URL+", secret: a-secret}}]")
	h.set(true, nil)
	r := start(t, dir)
	r.expose(0, 15)
	r.kill()

	r = start(t, dir)
	asked := make(chan struct{})
	killed := make(chan struct{})
	h.set(false, func() {
		close(asked)
		<-killed // so it is not answered
	})
	<-asked
	r.kill()
	close(killed)
	<-h.took

	r = start(t, dir)
	r.expose(10, 30) // some for the second time
	for <-h.took < 30 {
	}
	st := r.rule("schedule-report")
	if got := st.Treatment.Exposed + st.Control.Exposed; got != 30 {
		t.Errorf("%d units are counted, want 30", got)
	}
	r.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	again := 0
	for id, list := range h.got {
		for _, x := range list {
			if x != list[0] || x.ID != id {
				t.Errorf("%s came as %+v and as %+v", id, list[0], x)
			}
		}
		if len(list) > 1 {
			again++
		}
	}
	if len(h.got) != 30 || len(h.units) != 30 {
		t.Errorf("%d ids of %d units came, want 30", len(h.got), len(h.units))
	}
	if again == 0 {
		t.Error("what was not answered was not sent again")
	}
	t.Logf("%d exposures, %d of them twice or more", len(h.got), again)
}

// TestExposuresReload: destinations come and go by a reload. One that goes
// loses what waits for it, one that comes is told of what is new.
func TestExposuresReload(t *testing.T) {
	first, second := newHook(t), newHook(t)
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	exposures(t, dir, "[{webhook: {url: "+first.URL+", name: first}}]")
	first.set(true, nil)
	r := start(t, dir)
	r.expose(0, 3)
	waits := func(line string) bool {
		_, text := r.ask(http.MethodGet, "/metrics", nil)
		return strings.Contains(text, "\n"+line)
	}
	if !waits(`refract_outbox_pending{destination="first"} 3`) {
		t.Error("the metrics do not say that 3 exposures wait")
	}
	exposures(t, dir, "[{webhook: {url: "+first.URL+", name: first}}, {webhook: {url: "+second.URL+", name: second}}]")
	r.mustCommand("reload")
	r.expose(3, 5)
	for <-second.took < 2 {
	}
	if !waits(`refract_outbox_pending{destination="first"} 5`) {
		t.Error("what waits for the one that is down did not stay")
	}
	exposures(t, dir, "[{webhook: {url: "+second.URL+", name: second}}]")
	r.mustCommand("reload")
	if waits(`refract_outbox_pending{destination="first"}`) {
		t.Error("there are metrics of a destination that is gone")
	}
	first.set(false, nil)
	exposures(t, dir, "[{webhook: {url: "+first.URL+", name: first}}, {webhook: {url: "+second.URL+", name: second}}]")
	r.mustCommand("reload")
	r.expose(5, 6)
	for <-first.took < 1 {
	}
	for <-second.took < 3 {
	}
	r.stop()
	if len(first.units) != 1 || first.units["schedule-report visitor-5"] == "" {
		t.Errorf("the one that came back was told of %v", first.units)
	}
}

// TestExposureSaysWhoseIDItIs: an id of a person, of a browser, and of both,
// once it is known whose browser it is.
func TestExposureSaysWhoseIDItIs(t *testing.T) {
	h := newHook(t)
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string {
		return strings.Replace(s, "visitor: [cookie:user, first-party]", "visitor: [cookie:user, cookie:ajs_anonymous_id, first-party]", 1)
	})
	exposures(t, dir, "[{webhook: {url: "+h.URL+"}}]")
	r := start(t, dir)
	r.send("track", map[string]any{"event": "Report Exported", "anonymousId": "dev-1"})
	r.send("track", map[string]any{"event": "Report Exported", "userId": "ann"})
	r.send("identify", map[string]any{"userId": "ann", "anonymousId": "dev-2"})
	r.send("track", map[string]any{"event": "Report Exported", "userId": "bob"})
	r.do(http.MethodGet, "/reports", "", nil, "Cookie", "ajs_anonymous_id=dev-1")
	r.do(http.MethodGet, "/reports", "", nil, "Cookie", "ajs_anonymous_id=dev-2")
	r.get("/reports", "bob")
	for <-h.took < 3 {
	}
	r.stop()
	got := map[string]string{}
	for _, list := range h.got {
		got[list[0].UnitID] = list[0].User + "/" + list[0].Anonymous
	}
	want := map[string]string{"dev-1": "/dev-1", "ann": "ann/dev-2", "bob": "bob/"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the ids are %v, want %v", got, want)
	}
}
