package rules

import (
	"reflect"
	"testing"
	"time"
)

func TestCohorts(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	dir, _ := unpack(t, "testdata/good/cohorts.txtar")
	const age = 36 * time.Hour
	want := Cohorts{
		MaxAge: age,
		Feeds: map[string]CohortFeed{
			"mixpanel":    {User: "mixpanel", Password: "a-key", MaxAge: 2 * time.Hour},
			"amplitude":   {Token: "a-key", MaxAge: age},
			"segment":     {Secret: "a-key", MaxAge: age},
			"rudderstack": {Token: "a-key"},
			"braze":       {Token: "a-key", Expires: DefaultMemberExpires},
		},
		Pull: &CohortPull{
			Host: DefaultPostHog, Project: "12345", Key: "a-key", Cohorts: []int{98, 99}, Every: 5 * time.Minute, MaxAge: time.Hour,
		},
	}
	if got := load(t, dir).Edge.Cohorts; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	dir, _ = unpack(t, "testdata/good/reference.txtar")
	if got := load(t, dir).Edge.Cohorts; !reflect.DeepEqual(got, Cohorts{MaxAge: DefaultCohortAge}) {
		t.Errorf("without cohorts: %+v", got)
	}
}
