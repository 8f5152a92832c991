package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// MaxDuration is the longest duration that files and flags may say: ten years.
const MaxDuration = 3650 * 24 * time.Hour

var durationUnits = map[string]time.Duration{
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

var durationSyntax = syntax(`^([0-9]{1,12})([smhdw])$`)

// ParseDuration parses a whole number with one unit, as site directories write
// durations: 30s 15m 48h 7d 2w. A day is 24 hours. It is from zero to
// MaxDuration.
func ParseDuration(s string) (time.Duration, error) {
	part := durationSyntax().FindStringSubmatch(s)
	if part == nil {
		return 0, fmt.Errorf("%q is not a duration such as 30s, 15m, 48h, 7d or 2w", s)
	}
	n, _ := strconv.ParseInt(part[1], 10, 64) // the syntax leaves no other way
	unit := durationUnits[part[2]]
	if n > int64(MaxDuration/unit) {
		return 0, fmt.Errorf("%q is longer than ten years", s)
	}
	return time.Duration(n) * unit, nil
}

// FormatDuration returns a duration for people: "30 minutes", "48 hours",
// "7 days". Up to two days are told in hours.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	unit, name := time.Second, "second"
	switch {
	case d > 2*day && d%day == 0:
		unit, name = day, "day"
	case d > 0 && d%time.Hour == 0:
		unit, name = time.Hour, "hour"
	case d > 0 && d%time.Minute == 0:
		unit, name = time.Minute, "minute"
	}
	n := d / unit
	if n != 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", n, name)
}

// parseFraction parses "10%" or "0.1".
func parseFraction(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	f, err := parseNumber(strings.TrimSuffix(number, " "))
	if err != nil {
		return 0, fmt.Errorf("%q is not a percentage such as 10%% or a fraction such as 0.1", s)
	}
	if percent {
		f /= 100
	}
	return f, nil
}

// formatPercent returns a fraction in per cent: "10", "2.5".
func formatPercent(f float64) string {
	return strconv.FormatFloat(math.Round(f*1e8)/1e6, 'f', -1, 64)
}

var numberSyntax = syntax(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// parseNumber parses a number in JSON's syntax: what YAML takes for a number
// besides (octal, hexadecimal, underscores) is more often an identifier.
func parseNumber(s string) (float64, error) {
	if !numberSyntax().MatchString(s) {
		return 0, fmt.Errorf("%q is not a plain decimal number", s)
	}
	return strconv.ParseFloat(s, 64)
}

var sizeUnits = map[string]int64{
	"": 1, "B": 1,
	"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

var sizeSyntax = syntax(`^([0-9]{1,15}) ?([A-Za-z]*)$`)

// parseSize parses a number of bytes: "4096", "16KiB", "20GiB".
func parseSize(s string) (int64, error) {
	part := sizeSyntax().FindStringSubmatch(s)
	if part == nil {
		return 0, fmt.Errorf("%q is not a size such as 4096, 16KiB or 20GiB", s)
	}
	unit, ok := sizeUnits[part[2]]
	if !ok {
		return 0, fmt.Errorf("%q has the unit %q: known are B, kB, MB, GB, TB, KiB, MiB, GiB and TiB", s, part[2])
	}
	n, _ := strconv.ParseInt(part[1], 10, 64)
	if n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return n * unit, nil
}
