package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// A group of alerts is one message: what names no rule, or none that is known,
// keeps no other from being heeded. All that are named are off before the first
// stop is on disk.
func TestAlarmsOfOneMessage(t *testing.T) {
	e, sticks, stuck, loose := stickyEdge(t)
	serves := func(rule string) bool {
		return slices.ContainsFunc(e.live.Load().Live(), func(r *rules.Rule) bool { return r.Name == rule })
	}
	eventually(t, "the rules are live", func() bool { return serves(ruleName) && serves(reportsRule) })
	post := func(body string) (int, stopAnswer) {
		r := httptest.NewRequest(http.MethodPost, stopMounts+"m", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer 0123456789abcdef")
		return e.heedMonitor(httptest.NewRecorder(), r, &rules.Monitor{Name: "m", Secret: "0123456789abcdef"})
	}
	alert := func(label string) string { return `{"status":"firing","labels":{` + label + `}}` }
	named := func(rule string) string { return alert(`"refract_rule":"` + rule + `"`) }
	body := `{"alerts":[` + strings.Join([]string{alert(""), named("nothing"), named(reportsRule), named(ruleName), named(ruleName)}, ",") + `]}`
	sticks.Store(true)
	noted := make(chan error, 1)
	go func() { noted <- e.store.Note(context.Background(), store.Entry{Kind: "test"}) }()
	<-stuck
	type result struct {
		status int
		answer stopAnswer
	}
	answered := make(chan result, 1)
	go func() {
		status, answer := post(body)
		answered <- result{status, answer}
	}()
	eventually(t, "both rules are off while the disk hangs", func() bool { return !serves(ruleName) && !serves(reportsRule) })
	select {
	case got := <-answered:
		t.Errorf("answered before the disk had it: %+v", got)
	default:
	}
	sticks.Store(false)
	close(loose)
	if err := <-noted; err != nil {
		t.Error(err)
	}
	got := <-answered
	a := got.answer
	if got.status != http.StatusOK || !slices.Equal(a.Stopped, []string{reportsRule, ruleName}) || !slices.Equal(a.Unknown, []string{"nothing"}) ||
		!slices.Equal(a.Repeated, []string{ruleName}) || !strings.Contains(a.Error, "names no rule") {
		b, _ := json.Marshal(a)
		t.Errorf("%d %s", got.status, b)
	}
	if e.switches.off(ruleName) || e.switches.off(reportsRule) || serves(ruleName) || serves(reportsRule) {
		t.Error("the stops are on record, and that is not what keeps the rules off")
	}
	if status, a := post(`{"alerts":[` + alert("") + `]}`); status != http.StatusBadRequest || a.Error == "" {
		t.Errorf("an alarm of no rule alone: %d %+v", status, a)
	}
	if err := e.shut(); err != nil {
		t.Error(err)
	}
}

// A response that was decided for when the arms had other sizes is not counted
// with those of now.
func TestServingTakesArmsOfOneSize(t *testing.T) {
	s := newServing(slog.New(slog.DiscardHandler), nil)
	before, after := &rules.Rule{Name: "r", Version: "1"}, &rules.Rule{Name: "r", Version: "1"}
	before.Rollout.Treatment, after.Rollout.Treatment = 0.5, 0.8
	s.watch([]*rules.Rule{after}, time.Now())
	for i, x := range []struct {
		rule *rules.Rule
		want int64
	}{{before, 0}, {after, 1}} {
		s.exchange(&proxy.Exchange{Request: httptest.NewRequest(http.MethodGet, "/", nil), Status: 500,
			Decision: rules.Decision{{Rule: x.rule, Arm: rules.Treatment}}}, &rules.Edge{}, time.Now())
		if n := (*s.rules.Load())["r"].guard.Total("error", rules.Treatment); int64(n) != x.want {
			t.Errorf("response %d: %v errors are counted, want %d", i, n, x.want)
		}
	}
}
