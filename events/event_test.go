package events_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
)

func TestDate(t *testing.T) {
	received := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	const late = 24 * time.Hour
	in := func(d time.Duration) time.Time { return received.Add(d) }
	for name, c := range map[string]struct {
		client, sent, want time.Time
		misdated           bool
	}{
		"no client time":               {want: received},
		"only a time of dispatch":      {sent: in(-time.Hour), want: received},
		"a right clock":                {client: in(-time.Hour), sent: received, want: in(-time.Hour)},
		"without a time of dispatch":   {client: in(-time.Hour), want: in(-time.Hour)},
		"a clock ten years fast":       {client: in(87600*time.Hour - time.Minute), sent: in(87600 * time.Hour), want: in(-time.Minute)},
		"a clock ten years slow":       {client: in(-87600*time.Hour - time.Minute), sent: in(-87600 * time.Hour), want: in(-time.Minute)},
		"just late enough":             {client: in(-late), want: in(-late)},
		"too late":                     {client: in(-late - time.Millisecond), want: received, misdated: true},
		"ahead by a minute":            {client: in(time.Minute), want: received},
		"ahead by more":                {client: in(time.Minute + 1), want: received, misdated: true},
		"in the future":                {client: in(time.Nanosecond), want: received},
		"dispatched before it was":     {client: in(time.Hour), sent: received, want: received, misdated: true},
		"a difference beyond Duration": {client: in(-time.Hour), sent: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), want: received, misdated: true},
		"the far future":               {client: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), sent: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), want: received, misdated: true},
	} {
		var e events.Event
		e.Date(c.client, c.sent, received, late)
		if !e.Time.Equal(c.want) || !e.Received.Equal(received) || e.Misdated != c.misdated {
			t.Errorf("%s: %v, misdated: %v, want %v", name, e.Time, e.Misdated, c.want)
		}
	}
}

// Whatever the clocks say, the time is in UTC, in whole milliseconds, within
// the window, and the sender's where that is plausible.
func TestDateIsPlausible(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	zone := time.FixedZone("", -3*3600)
	believed := 0
	for range 20_000 {
		received := time.Unix(1_795_000_000, r.Int64N(1e18)).In(zone)
		late := time.Duration(r.Int64N(int64(48 * time.Hour)))
		age := time.Duration(r.Int64N(int64(96*time.Hour))) - 24*time.Hour
		skew := time.Duration(r.Int64N(int64(2000*time.Hour))) - 1000*time.Hour
		var e events.Event
		e.Date(received.Add(skew-age), received.Add(skew), received, late)
		got := e.Time
		want := received
		if age >= 0 && age <= late {
			want = received.Add(-age)
			believed++
		}
		if got.Location() != time.UTC || got.UnixMilli() != want.UnixMilli() || got.Nanosecond()%1e6 != 0 {
			t.Fatalf("received %v, age %v, skew %v, late %v: %v, want %v", received, age, skew, late, got, want)
		}
	}
	if believed < 2000 || believed > 18_000 {
		t.Fatalf("believed %d of 20000: the cases are one-sided", believed)
	}
}
