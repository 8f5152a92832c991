package store

import (
	"context"
	"fmt"
	"time"

	"github.com/seed14307185/refract/outcomes"
)

// StopServing stops a version of a rule for its serving guardrails, and returns
// when the stop is on disk and was handed to Options.Stopped. at is when the
// deciding response ended; breach is nil where the guardrails themselves failed,
// which why then tells of.
func (s *Store) StopServing(ctx context.Context, rule, version, why string, breach *outcomes.Breach, at time.Time) error {
	return s.do(context.WithoutCancel(ctx), func(w *writer) error {
		t, err := w.find(rule)
		switch {
		case err != nil:
			return err
		case t.rule.Version != version:
			return fmt.Errorf("%w: %q of version %s", ErrNoRule, rule, version)
		case t.run.Stop != nil:
			return fmt.Errorf("%w: %s", ErrStopped, rule)
		}
		return w.halt(t, Stop{Cause: ByServing, Why: why, Serving: breach, Breach: at.UTC()})
	})
}
