package rules

import (
	"slices"
	"strconv"
	"strings"
)

// An id is without control characters: names are keys of the store, which has a
// NUL after some, and stand in the log. Bytes that aren't UTF-8 match as U+FFFD.
var cohortSyntax = syntax(`^[a-z0-9-]+/[^/\s\p{Cc}\x{FFFD}]+$`)

// CohortName says whether a segment can ask for a cohort of that name.
func CohortName(name string) bool { return cohortSyntax().MatchString(name) }

// Deliver says whether a vendor is to deliver cohorts: those named VENDOR/ID.
func (c *Cohorts) Deliver(vendor string) bool {
	_, pushed := c.Feeds[vendor]
	return pushed || vendor == "posthog" && c.Pull != nil
}

// warnCohorts warns of segments that ask for a vendor's cohort that is not to
// come. Any other cohort is one that is uploaded.
func (d *directory) warnCohorts(s *Set) {
	for _, segment := range s.Segments {
		for _, name := range segment.Names().Cohorts {
			vendor, id, _ := strings.Cut(name, "/")
			file, pull := segmentsDir+"/"+segment.Name+".yaml", s.Edge.Cohorts.Pull
			switch {
			case !slices.Contains(IdentityVendors, vendor):
			case !s.Edge.Cohorts.Deliver(vendor):
				d.warn(file, "set cohorts."+vendor+" in refract.yaml, or upload it", "nobody delivers the cohort %s", name)
			case vendor == "posthog" && !slices.ContainsFunc(pull.Cohorts, func(n int) bool { return strconv.Itoa(n) == id }):
				d.warn(file, "add it to cohorts.posthog.cohorts in refract.yaml", "the cohort %s is not pulled", name)
			}
		}
	}
}
