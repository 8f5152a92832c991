package segments_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
)

// told folds identify events, each a minute after the one before.
func told(p *segments.Program, traits ...events.Properties) *segments.State {
	s := &segments.State{}
	for i, t := range traits {
		at := start.Add(time.Duration(i) * time.Minute)
		p.Fold(segments.Visitor, s, &events.Event{Kind: events.Identify, Traits: t, Time: at, Received: at})
	}
	return s
}

func TestTraitsKept(t *testing.T) {
	p := compile(t)
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		told []events.Properties
		want events.Properties
	}{
		{[]events.Properties{{"plan": "trial", "seats": 5.0}, {"plan": "paid"}}, events.Properties{"plan": "paid", "seats": 5.0}},
		{[]events.Properties{{"plan": "trial"}, {"plan": nil}}, events.Properties{}},
		{[]events.Properties{{"note": "short"}, {"note": long}}, events.Properties{}},
		{[]events.Properties{{"o": map[string]any{"a": []any{"b", 1.0, true, `"\`, "é"}}}}, events.Properties{"o": map[string]any{"a": []any{"b", 1.0, true, `"\`, "é"}}}},
		{[]events.Properties{{long: 1.0}}, events.Properties{}},
	} {
		s := told(p, tt.told...)
		if got := s.Traits(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("told %v, knows %v, want %v", tt.told, got, tt.want)
		}
		again, err := segments.DecodeState(p.AppendState(nil, s))
		if err != nil || !reflect.DeepEqual(again.Traits(), tt.want) {
			t.Errorf("told %v, reads %v, %v, want %v", tt.told, again, err, tt.want)
		}
	}
}

// A unit that has been told too many traits keeps those that it has, and goes
// on learning their values.
func TestTooManyTraits(t *testing.T) {
	p := compile(t)
	list := []events.Properties{{"plan": "trial"}}
	for i := range 100 {
		list = append(list, events.Properties{fmt.Sprint("t", i): true})
	}
	list = append(list, events.Properties{"plan": "paid"})
	got := told(p, list...).Traits()
	if len(got) != 64 || got["plan"] != "paid" {
		t.Errorf("%d traits, of which plan is %v", len(got), got["plan"])
	}
}
