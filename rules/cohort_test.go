package rules

import (
	"strings"
	"testing"
)

// A vendor's cohort that nobody is to deliver is warned of; any other may be
// uploaded.
func TestUndeliveredCohorts(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	s := load(t, site(t, `
-- refract.yaml --
origin: http://127.0.0.1:3000
cohorts:
  amplitude: {token: env:REFRACT_TEST_KEY}
  posthog: {project: 4711, key: env:REFRACT_TEST_KEY, cohorts: [98]}
-- segments/told.yaml --
any: [{cohort: amplitude/abc}, {cohort: posthog/98}, {cohort: crm/stuck}]
-- segments/untold.yaml --
any: [{cohort: mixpanel/1}, {not: {cohort: posthog/99}}, {segment: told}]
`))
	var got []string
	for _, w := range s.Warnings {
		got = append(got, w.String())
	}
	want := []string{
		"segments/untold.yaml: nobody delivers the cohort mixpanel/1\nhint: set cohorts.mixpanel in refract.yaml, or upload it",
		"segments/untold.yaml: the cohort posthog/99 is not pulled\nhint: add it to cohorts.posthog.cohorts in refract.yaml",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("warnings:\n%s", strings.Join(got, "\n"))
	}
	for name, want := range map[string]bool{"crm/stuck": true, "crm-2/a.b": true, "crm": false, "CRM/a": false, "crm/a/b": false, "crm/a b": false, "crm/a\x00b": false, "crm/\x1b[31m": false, "crm/\xff": false, "crm/ü☃": true, "": false} {
		if CohortName(name) != want {
			t.Errorf("CohortName(%q) is %v", name, !want)
		}
	}
}
