package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/store"
)

// switches are what keeps rules from being served without being a rollback on
// record: nothing is counted anew when they are on again. Each is turned on
// by what turned it off, and by nothing else.
type switches struct {
	mu    sync.Mutex
	hand  *console.Switch           // by a signal or the API, the last of them; nil: on. Guarded by mu
	files map[string]console.Switch // kill files by the rule's name, "" for all; guarded by mu
	held  map[string]*holding       // rules whose rollback is on its way to the disk; guarded by mu
}

// holding is a rule that is kept off while its rollback is put on record.
type holding struct {
	rollbacks int
	since     time.Time // when the set without the rule was live; zero: it isn't yet
}

// What turns treatment off.
const (
	byKillFile = "kill-file"
	bySignal   = "signal"
	byAPI      = "api"
)

// off says whether a rule is kept from being served.
func (s *switches) off(rule string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, all := s.files[""]
	_, one := s.files[rule]
	return s.hand != nil || all || one || s.held[rule] != nil
}

// hold keeps a rule off until release, while its rollback is put on record.
func (s *switches) hold(rule string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[string]*holding{}
	}
	if s.held[rule] == nil {
		s.held[rule] = new(holding)
	}
	s.held[rule].rollbacks++
}

func (s *switches) release(rule string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[rule].rollbacks--; s.held[rule].rollbacks == 0 {
		delete(s.held, rule)
	}
}

// gone takes note that the set without a rule that is held is live.
func (s *switches) gone(rule string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[rule]; h.since.IsZero() {
		h.since = at
	}
}

// goneSince returns when the set without a rule that is held was live, and zero
// for any other.
func (s *switches) goneSince(rule string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[rule]; h != nil {
		return h.since
	}
	return time.Time{}
}

// list returns those that an operator turned off, of all rules first.
func (s *switches) list() []console.Switch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []console.Switch
	if s.hand != nil {
		all = append(all, *s.hand)
	}
	for _, f := range s.files {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b console.Switch) int { return strings.Compare(a.Rule+" "+a.By, b.Rule+" "+b.By) })
	return all
}

// setHand turns the switch that a signal or the API turns, and says whether it
// was on before.
func (s *switches) setHand(to *console.Switch) (wasOn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wasOn = s.hand == nil
	s.hand = to
	return wasOn
}

// setFiles takes the kill files that are there, by rule, and returns those that
// are new and those that are gone.
func (s *switches) setFiles(there map[string]string, now time.Time) (added, gone []console.Switch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rule, f := range s.files {
		if _, still := there[rule]; !still {
			gone = append(gone, f)
			delete(s.files, rule)
		}
	}
	for rule, file := range there {
		if _, known := s.files[rule]; known {
			continue
		}
		f := console.Switch{By: byKillFile, Rule: rule, File: file, Since: now.UTC()}
		if s.files == nil {
			s.files = map[string]console.Switch{}
		}
		s.files[rule] = f
		added = append(added, f)
	}
	return added, gone
}

// hold takes rules off while their rollbacks are put on record, which waits for
// the disk. The next response is without them when it returns.
func (e *edge) hold(rules ...string) {
	for _, r := range rules {
		e.switches.hold(r)
	}
	e.publish()
	now := e.now()
	for _, r := range rules {
		e.switches.gone(r, now)
	}
}

func (e *edge) release(rules ...string) {
	for _, r := range rules {
		e.switches.release(r)
	}
	e.publish()
}

// turn turns treatment off, or on again, for a signal or the API. The next
// response is under it when turn returns. It waits for no disk.
func (e *edge) turn(off bool, by string, who console.Change) {
	s := console.Switch{By: by, Since: e.now().UTC(), Who: who.Who, Why: who.Why}
	var to *console.Switch
	if off {
		to = &s
	}
	wasOn := e.switches.setHand(to)
	e.publish()
	if off || !wasOn {
		e.tell(off, s)
	}
}

// tell puts a turned switch into the log and the ledger.
func (e *edge) tell(off bool, s console.Switch) {
	attrs := []any{slog.String("by", s.By)}
	for _, a := range [...]slog.Attr{slog.String("rule", s.Rule), slog.String("file", s.File), slog.String("who", s.Who), slog.String("why", s.Why)} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	entry := store.Entry{Kind: "off", Rule: s.Rule, Who: strings.TrimSpace(s.By + " " + s.Who), Why: s.Why}
	if off {
		e.log.Warn("off: pages are as the app made them", attrs...)
		if s.Rule != "" && e.set().Rule(s.Rule) == nil {
			e.log.Warn("a kill file names no rule of the site", slog.String("file", s.File), slog.String("rule", s.Rule))
		}
	} else {
		entry.Kind = "on"
		e.log.Info("on again, unless something else keeps it off", attrs...)
	}
	select {
	case e.notes <- entry:
	default: // the disk is slower than who turns it on and off
		e.log.Warn("the ledger lacks an entry", slog.String("kind", entry.Kind), slog.String("rule", entry.Rule))
	}
}

// note is the goroutine that puts turned switches on record, in their order.
func (e *edge) note() {
	write := func(entry store.Entry) {
		if err := e.store.Note(context.Background(), entry); err != nil {
			e.log.Warn("the ledger lacks an entry", slog.String("kind", entry.Kind), slog.String("rule", entry.Rule), slog.String("error", err.Error()))
		}
	}
	for {
		select {
		case entry := <-e.notes:
			write(entry)
			continue
		case <-e.closing.Done():
		}
		select {
		case entry := <-e.notes:
			write(entry)
		default:
			return
		}
	}
}
