package main

import (
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
	answer := stopAnswer{Stopped: []string{}}
	for _, alarm := range alarms {
		if alarm.Rule == "" {
			alarm.Rule = r.URL.Query().Get("rule")
		}
		named := []string{alarm.Rule}
		if alarm.Rule == "" {
			if named = m.Rules; named == nil {
				return refuse(http.StatusBadRequest, stopUnknown, errors.New("the alarm names no rule\nhint: label the alert "+monitors.RuleLabel+", or add ?rule=NAME to the address"))
			}
		}
		for _, rule := range named {
			if err := e.stopFor(r.Context(), m, rule, &alarm, &answer); err != nil {
				w.Header().Set("Retry-After", "5")
				answer.Error = "the stop could not be put on record: send it again"
				e.log.Warn("a monitor's stop failed", slog.String("monitor", m.Name), slog.String("rule", rule), slog.String("error", err.Error()))
				e.meter.monitored(m.Name, stopFailed)
				return http.StatusServiceUnavailable, answer
			}
		}
	}
	if len(answer.Unknown) > 0 && len(answer.Stopped)+len(answer.Repeated)+len(answer.Over) == 0 {
		answer.Error = "no such rule, or not this monitor's to stop: " + strings.Join(answer.Unknown, ", ")
		return http.StatusNotFound, answer
	}
	return http.StatusOK, answer
}

// stopFor stops a rule for an alarm, and says in the answer what came of it. An
// alarm that was raised before the rule was started is over: it is sent again
// and again, and whoever resumed the rule knew of it.
func (e *edge) stopFor(ctx context.Context, m *rules.Monitor, rule string, alarm *monitors.Alarm, answer *stopAnswer) error {
	standing, known := e.store.Standing(rule)
	result, list := stopDone, &answer.Stopped
	switch {
	case !known || !m.May(rule):
		result, list = stopUnknown, &answer.Unknown
	case standing.Run.Stop != nil:
		result, list = stopRepeated, &answer.Repeated
	case !alarm.Since.IsZero() && alarm.Since.Before(standing.Run.Live):
		result, list = stopOver, &answer.Over
	default:
		switch err := e.halt(ctx, rule, store.ByMonitor, m.Name, alarm.Why); {
		case errors.Is(err, store.ErrStopped):
			result, list = stopRepeated, &answer.Repeated
		case errors.Is(err, store.ErrNoRule):
			result, list = stopUnknown, &answer.Unknown
		case err != nil:
			return err
		}
	}
	*list = append(*list, rule)
	e.meter.monitored(m.Name, result)
	return nil
}
