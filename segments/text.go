package segments

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// clause writes a condition's canonical form, as a segment file would say it
// in one line. Parts without a value are left out.
func clause(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return "{" + strings.Join(kept, ", ") + "}"
}

func nameText(key, name string) string { return key + ": " + strconv.Quote(name) }

func whereText(where []Match) string {
	if len(where) == 0 {
		return ""
	}
	return "where: " + matchesText(where)
}

func comparisonText(key string, c Comparison) string {
	if c == (Comparison{}) {
		return ""
	}
	return key + ": " + strconv.Quote(c.String())
}

// durationText writes a duration in the largest unit that divides it.
func durationText(key string, d time.Duration) string {
	if d == 0 {
		return ""
	}
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if d%u.of == 0 {
			return fmt.Sprintf("%s: %d%s", key, d/u.of, u.name)
		}
	}
	return fmt.Sprintf("%s: %dns", key, d)
}

func checkEvent(name string, where []Match) error {
	if name == "" {
		return errors.New("an event without a name")
	}
	return checkMatches(where)
}

// checkDuration refuses what is not a positive number of milliseconds, of
// which a century is enough.
func checkDuration(key string, d time.Duration) error {
	if d <= 0 || d%time.Millisecond != 0 || d > 100*365*24*time.Hour {
		return fmt.Errorf("%s: %v is not a span of time that can be waited for", key, d)
	}
	return nil
}

// checkWindow is checkDuration for a window that may be left out.
func checkWindow(key string, d time.Duration) error {
	if d == 0 {
		return nil
	}
	return checkDuration(key, d)
}
