package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed14307185/refract/cohorts"
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/events/amplitude"
	"github.com/seed14307185/refract/events/braze"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/events/mixpanel"
	"github.com/seed14307185/refract/events/posthog"
	"github.com/seed14307185/refract/events/rudderstack"
	"github.com/seed14307185/refract/events/segment"
	"github.com/seed14307185/refract/rules"
)

// Where the sources of the site are mounted, and the systems that send cohorts,
// each by its name.
const (
	ingestMounts = "/_refract/ingest/"
	cohortMounts = "/_refract/cohorts/"
)

// mount returns the handler of a path below /_refract/, if the set has one.
func (e *edge) mount(set *rules.Set, path string) http.Handler {
	if rest, ok := strings.CutPrefix(path, cohortMounts); ok {
		return e.cohortMount(set, rest)
	}
	if rest, ok := strings.CutPrefix(path, stopMounts); ok {
		return e.stopMount(set, rest)
	}
	rest, ok := strings.CutPrefix(path, ingestMounts)
	name, _, below := strings.Cut(rest, "/")
	source, known := set.Edge.Sources[name]
	if !ok || !below || !known {
		return nil
	}
	m := ingest.Mount{
		Key: source.Key, Account: source.Account, Late: set.Edge.Late,
		Now: e.now, Append: e.store.Append, Refused: e.meter.refused,
		Consent: (*ingest.Consent)(source.Consent), Withheld: e.meter.withheld,
	}
	if to := source.Tee; to != nil {
		m.Tee = func(ctx context.Context, letter []byte, batch []*events.Event) error {
			return e.store.AppendTo(ctx, to.Name, letter, batch)
		}
		m.Client = func(r *http.Request) string {
			_, client := addresses(r, set.Edge.TrustedProxies)
			return client
		}
	}
	return http.StripPrefix(ingestMounts+name, vendor(name, m))
}

// cohortMount returns the handler of a path below cohortMounts.
func (e *edge) cohortMount(set *rules.Set, rest string) http.Handler {
	name, _, _ := strings.Cut(rest, "/")
	feed, known := set.Edge.Cohorts.Feeds[name]
	if !known {
		return nil
	}
	f := cohorts.Feed{CohortFeed: feed, Keeper: e.store, Now: e.now, Refused: e.meter.refused}
	return http.StripPrefix(cohortMounts+name, cohorts.Handler(name, f))
}

// vendor returns the handler of a source of that name.
func vendor(name string, m ingest.Mount) http.Handler {
	switch name {
	case segment.Source:
		return &segment.Handler{Mount: m}
	case posthog.Source:
		return &posthog.Handler{Mount: m}
	case rudderstack.Source:
		return &rudderstack.Handler{Mount: m}
	case mixpanel.Source:
		return &mixpanel.Handler{Mount: m}
	case amplitude.Source:
		return &amplitude.Handler{Mount: m}
	case braze.Source:
		return &braze.Handler{Mount: m}
	}
	return http.NotFoundHandler()
}

// pulledFrom is where cohorts are pulled from.
func pulledFrom(c *rules.CohortPull) cohorts.PostHog {
	if c == nil {
		return cohorts.PostHog{}
	}
	host, _ := url.Parse(c.Host) // as it was when it was loaded
	return cohorts.PostHog{
		Host: host, Project: c.Project, Key: c.Key, Cohorts: c.Cohorts, Every: c.Every, MaxAge: c.MaxAge,
	}
}
