package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// stickyEdge is an edge whose store, while sticks is true, hangs at its next
// entry of the ledger, tells so, and goes on once loose is closed.
func stickyEdge(t *testing.T) (e *edge, sticks *atomic.Bool, stuck <-chan bool, loose chan bool) {
	t.Helper()
	sticks = new(atomic.Bool)
	hangs := make(chan bool, 1)
	loose = make(chan bool)
	now := func() time.Time {
		if sticks.Load() && strings.Contains(string(debug.Stack()), "store.(*writer).note(") {
			hangs <- true
			<-loose
		}
		return time.Now()
	}
	site := filepath.Join(newSite(t, "../../testdata/sites/loop", "http://127.0.0.1:1"), "site")
	e, err := newEdge(t.Context(), site, now, slog.New(slog.DiscardHandler), false)
	if err != nil {
		t.Fatal(err)
	}
	return e, sticks, hangs, loose
}

// A rule is off when stopServing returns, though the store is stuck, and on
// record once it is not.
func TestServingStopsBeforeTheStore(t *testing.T) {
	e, sticks, stuck, loose := stickyEdge(t)
	serves := func() bool {
		return slices.ContainsFunc(e.live.Load().Live(), func(r *rules.Rule) bool { return r.Name == reportsRule })
	}
	eventually(t, "the rule is live", serves)
	w := (*e.serving.rules.Load())[reportsRule]
	sticks.Store(true)
	noted := make(chan error, 1)
	go func() { noted <- e.store.Note(context.Background(), store.Entry{Kind: "test"}) }()
	<-stuck
	e.stopServing(w, "a test", nil)
	if st, _ := e.store.Standing(reportsRule); serves() || st.Run.Stop != nil {
		t.Errorf("served: %t, on record: %+v", serves(), st.Run.Stop)
	}
	sticks.Store(false)
	close(loose)
	if err := <-noted; err != nil {
		t.Error(err)
	}
	eventually(t, "the stop is on record and nothing else holds the rule", func() bool {
		st, _ := e.store.Standing(reportsRule)
		return st.Run.Stop != nil && st.Run.Stop.Cause == store.ByServing && !e.switches.off(reportsRule)
	})
	if serves() {
		t.Error("the rule is served")
	}
	if err := e.shut(); err != nil {
		t.Error(err)
	}
}

// Where the guardrail decides, the rule is off while its stop is on the way to the
// disk.
func TestGuardrailStopsBeforeTheDisk(t *testing.T) {
	e, sticks, stuck, loose := stickyEdge(t)
	live := func() *rules.Rule {
		list := e.live.Load().Live()
		if i := slices.IndexFunc(list, func(r *rules.Rule) bool { return r.Name == reportsRule }); i >= 0 {
			return list[i]
		}
		return nil
	}
	eventually(t, "the rule is live", func() bool { return live() != nil })
	rule, at := live(), time.Now()
	var asked []*events.Event
	for i := range 40 {
		v := fmt.Sprint("asks-", i)
		x := rules.Exposure{Rule: rule.Name, Version: rule.Version, Unit: segments.Unit{Who: segments.Visitor, ID: v}, Visitor: v, Arm: rules.Treatment, Treatment: .5, At: at}
		if !e.store.Expose(x) {
			t.Fatal("the store takes no exposure")
		}
		asked = append(asked, &events.Event{ID: v, Source: "test", Kind: events.Track, Name: rule.Guardrail.Event, Visitor: v, Time: at.Add(time.Second), Received: at.Add(time.Second)})
	}
	sticks.Store(true)
	noted := make(chan error, 1)
	go func() { noted <- e.store.Append(context.Background(), asked) }()
	<-stuck
	if live() != nil {
		t.Error("the rule is served while its stop is on its way to the disk")
	}
	sticks.Store(false)
	close(loose)
	if err := <-noted; err != nil {
		t.Error(err)
	}
	if st, _ := e.store.Standing(reportsRule); st.Run.Stop == nil || st.Run.Stop.Cause != store.ByGuardrail || live() != nil {
		t.Errorf("the stop is %+v", st.Run.Stop)
	}
	if e.switches.off(reportsRule) {
		t.Error("it is still held off")
	}
	if err := e.shut(); err != nil {
		t.Error(err)
	}
}
