package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/seed14307185/refract/monitors"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// stopMounts is where monitors stop rules, each by its name.
const stopMounts = "/_refract/stop/"

// What becomes of a monitor's message, or of an alarm in it.
const (
	stopDone         = "stopped"
	stopRepeated     = "repeated"
	stopOver         = "over"
	stopUnknown      = "unknown"
	stopUnauthorised = "unauthorised"
	stopMalformed    = "malformed"
	stopFailed       = "failed"
)

var stopResults = []string{stopDone, stopRepeated, stopOver, stopUnknown, stopUnauthorised, stopMalformed, stopFailed}

// stopAnswer says what was done, by the rules' names.
type stopAnswer struct {
	Stopped  []string `json:"stopped"`
	Repeated []string `json:"repeated,omitempty"` // were stopped already
	Over     []string `json:"over,omitempty"`     // were started after the alarm was raised
	Unknown  []string `json:"unknown,omitempty"`  // no rules, or not this monitor's to stop
	Error    string   `json:"error,omitempty"`
}

// stopMount returns the handler of a monitor's messages, or nil.
func (e *edge) stopMount(set *rules.Set, name string) http.Handler {
	i := slices.IndexFunc(set.Edge.Stops, func(m rules.Monitor) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	monitor := &set.Edge.Stops[i]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, answer := e.heedMonitor(w, r, monitor)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // the asker's loss
	})
}

// heedMonitor does what a monitor's message asks for: a stop, and never more.
func (e *edge) heedMonitor(w http.ResponseWriter, r *http.Request, m *rules.Monitor) (int, stopAnswer) {
	refuse := func(status int, result string, err error) (int, stopAnswer) {
		e.meter.monitored(m.Name, result)
		return status, stopAnswer{Stopped: []string{}, Error: err.Error()}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return refuse(http.StatusMethodNotAllowed, stopMalformed, errors.New("alarms are sent by POST"))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, monitors.MaxBody))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return refuse(http.StatusRequestEntityTooLarge, stopMalformed, errors.New("the message is too long"))
	} else if err != nil {
		return refuse(http.StatusBadRequest, stopMalformed, errors.New("the message ended early"))
	}
	if !monitors.Authorised(r.Header, body, m.Secret, e.now()) {
		return refuse(http.StatusUnauthorized, stopUnauthorised, monitors.ErrUnauthorised)
	}
	alarms, err := monitors.Read(body)
	if err != nil {
		return refuse(http.StatusBadRequest, stopMalformed, monitors.ErrMalformed)
	}
	raised, nameless := alarmsByRule(alarms, r.URL.Query().Get("rule"), m)
	return e.stopAll(r.Context(), w.Header(), m, raised, nameless)
}

// alarmsByRule returns an alarm for each rule that it is about: those that it
// names, or by default those of the monitor. nameless is how many are about none.
func alarmsByRule(alarms []monitors.Alarm, byAddress string, m *rules.Monitor) (raised []monitors.Alarm, nameless int) {
	for _, alarm := range alarms {
		named := []string{cmp.Or(alarm.Rule, byAddress)}
		if named[0] == "" {
			named = m.Rules
		}
		if named == nil {
			nameless++
		}
		for _, rule := range named {
			alarm.Rule = rule
			raised = append(raised, alarm)
		}
	}
	return raised, nameless
}

// stopAll does what the alarms of one message ask for. One that names no rule, or
// can't be heeded, keeps no other from it. Whatever is to be stopped is off before
// the first stop waits for the disk.
func (e *edge) stopAll(ctx context.Context, h http.Header, m *rules.Monitor, raised []monitors.Alarm, nameless int) (int, stopAnswer) {
	var held []string
	for i := range raised {
		if e.stopDue(m, &raised[i]) == stopDone {
			held = append(held, raised[i].Rule)
		}
	}
	if len(held) > 0 {
		e.hold(held...)
		defer e.release(held...)
	}
	answer, failed := stopAnswer{Stopped: []string{}}, false
	for i := range raised {
		result, err := e.stopFor(ctx, m, &raised[i])
		if err != nil {
			failed = true
			e.log.Warn("a monitor's stop failed", slog.String("monitor", m.Name), slog.String("rule", raised[i].Rule), slog.String("error", err.Error()))
		}
		e.meter.monitored(m.Name, result)
		if list := answer.list(result); list != nil {
			*list = append(*list, raised[i].Rule)
		}
	}
	if nameless > 0 {
		e.meter.monitored(m.Name, stopUnknown)
		answer.Error = "an alarm names no rule\nhint: label the alert " + monitors.RuleLabel + ", or add ?rule=NAME to the address"
	}
	switch heeded := len(answer.Stopped)+len(answer.Repeated)+len(answer.Over) > 0; {
	case failed:
		h.Set("Retry-After", "5")
		answer.Error = "the stop could not be put on record: send it again"
		return http.StatusServiceUnavailable, answer
	case len(answer.Unknown) > 0 && !heeded:
		answer.Error = "no such rule, or not this monitor's to stop: " + strings.Join(answer.Unknown, ", ")
		return http.StatusNotFound, answer
	case nameless > 0 && !heeded:
		return http.StatusBadRequest, answer
	}
	return http.StatusOK, answer
}

// list is where the answer has the rules of which that became; nil: nowhere.
func (a *stopAnswer) list(result string) *[]string {
	switch result {
	case stopDone:
		return &a.Stopped
	case stopRepeated:
		return &a.Repeated
	case stopOver:
		return &a.Over
	case stopUnknown:
		return &a.Unknown
	}
	return nil
}

// stopDue says what is to become of an alarm. One that was raised before the rule
// was started is over: it is sent again and again, and whoever resumed the rule
// knew of it.
func (e *edge) stopDue(m *rules.Monitor, alarm *monitors.Alarm) (result string) {
	standing, known := e.store.Standing(alarm.Rule)
	switch {
	case !known || !m.May(alarm.Rule):
		return stopUnknown
	case standing.Run.Stop != nil:
		return stopRepeated
	case !alarm.Since.IsZero() && alarm.Since.Before(standing.Run.Live):
		return stopOver
	}
	return stopDone
}

// stopFor stops a rule for an alarm, if that is due, and says what became of it.
func (e *edge) stopFor(ctx context.Context, m *rules.Monitor, alarm *monitors.Alarm) (result string, err error) {
	if result = e.stopDue(m, alarm); result != stopDone {
		return result, nil
	}
	switch err := e.halt(ctx, alarm.Rule, store.ByMonitor, m.Name, alarm.Why); {
	case errors.Is(err, store.ErrStopped):
		return stopRepeated, nil
	case errors.Is(err, store.ErrNoRule):
		return stopUnknown, nil
	case err != nil:
		return stopFailed, err
	}
	return stopDone, nil
}
