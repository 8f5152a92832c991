package main

import (
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// standing are the metrics whose values somebody else keeps.
type standing struct {
	info, state, guardrail, limit, srm, exposed, flips *prometheus.Desc
	share                                              *prometheus.Desc
	blind, held                                        *prometheus.Desc
	faults, evidence, unseen                           *prometheus.Desc // of the serving guardrails
	storeUp, events, exposures, dropped                *prometheus.Desc
	servers, connections, certificates                 *prometheus.Desc
	off, accessLost, logLost                           *prometheus.Desc
	pages, pageBytes, pageAnswers                      *prometheus.Desc
	pending, pendingBytes, oldest                      *prometheus.Desc // of the outbox
	sent, failures, undelivered                        *prometheus.Desc
	cohortAge, cohortMembers, cohortExpired, pulls     *prometheus.Desc
	unproved                                           *prometheus.Desc
}

func (m *meter) newStanding() standing {
	desc := func(kind, name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(m.family(kind, name, help, labels), help, labels, nil)
	}
	return standing{
		info:      desc("gauge", "config_info", "1; the label is the revision of the last good load.", "hash"),
		state:     desc("gauge", "rule_state", "1 for the state that the rule is in, 0 for the others: live, draft, rolled_back, expired, unapproved, warming, or off, with all others.", "rule", "state"),
		guardrail: desc("gauge", "guardrail_value", "Evidence against the guardrail, as the natural logarithm of the e-value.", "rule"),
		blind:     desc("gauge", "guardrail_blind", "1 if no harm comes in though the guardrail's baseline says that there must be some.", "rule"),
		held:      desc("gauge", "rule_held", "1 while the rule is held: its guardrail is blind, or undecided for too long, or its sample ratio doubtful or invalid.", "rule", "reason"),
		limit:     desc("gauge", "guardrail_limit", "Where the guardrail stops the rule: ln(1/alpha), 2.996 for 5 %.", "rule"),
		srm:       desc("gauge", "srm_pvalue", "Anytime p-value of the sample ratio: the least of all units' and of each browser class's.", "rule"),
		exposed:   desc("gauge", "exposed_units", "Units exposed in the rule's present run.", "rule", "arm"),
		share:     desc("gauge", "rollout_share", "Share of the units that takes part at the present step of the rule's ramp, from 0 to 1.", "rule"),
		flips: desc("counter", "assignment_flips_total",
			"Units of the present run that saw the other arm later: by a change of the rollout, or as one visitor with two ids.", "rule", "cause"),

		faults:   desc("counter", "serving_faults_total", "Responses of a live rule with a fault: error, broken, slow, missing, duplicate or bailout.", "rule", "arm", "kind"),
		evidence: desc("gauge", "serving_evidence", "Greatest evidence for a fault in the present windows, as a part of what stops the rule: it does at 1.", "rule", "kind"),
		unseen:   desc("gauge", "rule_unseen", "1 if the rule has been live for a minute and its surface was on no page of its visitors since.", "rule"),

		storeUp:   desc("gauge", "store_up", "1 if the store takes writes."),
		events:    desc("counter", "events_total", "Events by what became of them: appended, repeated or refused; clamped is how many came with a time that could not be meant.", "result"),
		exposures: desc("counter", "exposures_total", "First exposures enrolled."),
		dropped:   desc("counter", "exposures_dropped_total", "Exposures and observed events dropped: the queue was full.", "reason"),

		pending:      desc("gauge", "outbox_pending", "What waits for the destination: exposures, for tee:SOURCE requests, for notices:NAME notices.", "destination"),
		pendingBytes: desc("gauge", "outbox_pending_bytes", "Bytes of what waits for the destination.", "destination"),
		oldest:       desc("gauge", "outbox_oldest_age_seconds", "How long the oldest of them has waited; 0: none waits.", "destination"),
		sent:         desc("counter", "outbox_sent_total", "Exposures, or requests, that the destination took.", "destination"),
		failures:     desc("counter", "outbox_failures_total", "Tries to hand something over that failed, and are repeated.", "destination"),
		undelivered:  desc("counter", "outbox_dropped_total", "Exposures, or requests, that the destination will never get.", "destination", "reason"),

		cohortAge:     desc("gauge", "cohort_age_seconds", "Time since the cohort's owner last told of it. Of cohorts that segments ask for; absent: never delivered.", "cohort"),
		cohortMembers: desc("gauge", "cohort_members", "Members of the cohort. Of cohorts that segments ask for.", "cohort"),
		cohortExpired: desc("gauge", "cohort_expired", "1 if the cohort is true for nobody, being older than its limit or never delivered. Of cohorts that segments ask for.", "cohort"),
		pulls:         desc("counter", "cohort_pulls_total", "What became of looks at a cohort at PostHog: replaced or unchanged; failure counts requests that failed or were refused.", "cohort", "result"),

		unproved: desc("counter", "identity_refused_total", "Tokens and signed cookies that were there and proved no id, once for each source that reads them.", "source", "reason"),

		servers:      desc("gauge", "upstream_healthy", "1 if requests are sent to the origin's server.", "server"),
		connections:  desc("gauge", "open_connections", "Connections of visitors that are open."),
		pages:        desc("gauge", "page_cache_pages", "Pages of the origin that are kept."),
		pageBytes:    desc("gauge", "page_cache_bytes", "Bytes that they take, about."),
		pageAnswers:  desc("counter", "page_cache_revalidations_total", "What the origin said of a kept page that it was asked about: unchanged or changed.", "result"),
		certificates: desc("gauge", "tls_certs_not_after", "When the certificate that is served expires, Unix time in seconds.", "host"),

		off:        desc("gauge", "off", "1 while every rule is kept from being served by that: kill-file, signal or api.", "by"),
		accessLost: desc("counter", "access_log_dropped_total", "Access log lines dropped because their reader is too slow."),
		logLost:    desc("counter", "log_dropped_total", "Lines of the log on standard error dropped because their reader is too slow."),
	}
}

// standingCollector reads them when it is asked.
type standingCollector struct {
	m *meter
	e *edge
}

// Describe implements prometheus.Collector.
func (c standingCollector) Describe(ch chan<- *prometheus.Desc) {
	s := &c.m.standing
	for _, d := range []*prometheus.Desc{s.info, s.state, s.guardrail, s.blind, s.held, s.limit, s.srm, s.exposed, s.flips, s.share,
		s.faults, s.evidence, s.unseen,
		s.storeUp, s.events, s.exposures, s.dropped, s.pages, s.pageBytes, s.pageAnswers, s.servers, s.connections, s.certificates,
		s.off, s.accessLost, s.logLost,
		s.pending, s.pendingBytes, s.oldest, s.sent, s.failures, s.undelivered,
		s.cohortAge, s.cohortMembers, s.cohortExpired, s.pulls, s.unproved} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c standingCollector) Collect(ch chan<- prometheus.Metric) {
	out := sink(ch)
	s := &c.m.standing
	set := c.e.set()
	out.gauge(s.info, 1, set.Revision)
	c.collectRules(out, set)

	out.gauge(s.storeUp, truth(c.e.store.Err() == nil))
	n := c.e.store.Counters()
	out.count(s.events, n.Events, "appended")
	out.count(s.events, n.Repeated, "repeated")
	out.count(s.events, n.Refused, "refused")
	out.count(s.events, n.Clamped, "clamped")
	out.count(s.exposures, n.Exposures)
	out.count(s.dropped, n.Dropped, "queue")

	c.collectOff(out)
	c.collectCohorts(out, set)
	for desc, lost := range map[*prometheus.Desc]func() uint64{s.accessLost: c.m.accessLost, s.logLost: c.m.logLost} {
		if lost != nil {
			out.count(desc, lost())
		}
	}
	kept := c.e.pages.State()
	out.gauge(s.pages, float64(kept.Pages))
	out.gauge(s.pageBytes, float64(kept.Bytes))
	out.count(s.pageAnswers, kept.Unchanged, "unchanged")
	out.count(s.pageAnswers, kept.Changed, "changed")
	for name, o := range c.e.outbox.Counts() {
		out.gauge(s.pending, float64(o.Pending), name)
		out.gauge(s.pendingBytes, float64(o.Bytes), name)
		age := 0.0
		if !o.Oldest.IsZero() {
			age = max(0, c.e.now().Sub(o.Oldest).Seconds())
		}
		out.gauge(s.oldest, age, name)
		out.count(s.sent, o.Sent, name)
		out.count(s.failures, o.Failed, name)
		for why, n := range o.Dropped {
			out.count(s.undelivered, n, name, string(why))
		}
	}
	for source, by := range c.e.tokens.Refused() {
		for why, n := range by {
			out.count(s.unproved, n, source, string(why))
		}
	}

	if c.m.servers != nil {
		for server, healthy := range c.m.servers {
			out.gauge(s.servers, truth(healthy), server)
		}
	}
	if c.m.connections != nil {
		out.gauge(s.connections, float64(c.m.connections()))
	}
	if c.m.certificates != nil {
		for host, notAfter := range c.m.certificates {
			out.gauge(s.certificates, float64(notAfter.Unix()), host)
		}
	}
}

func (c standingCollector) collectOff(out sink) {
	on := c.e.switches.list()
	for _, by := range [...]string{byKillFile, bySignal, byAPI} {
		out.gauge(c.m.standing.off, truth(slices.ContainsFunc(on, func(s console.Switch) bool { return s.Rule == "" && s.By == by })), by)
	}
}

// collectCohorts tells of cohorts that segments ask for: which others there are
// is for those to say who send them.
func (c standingCollector) collectCohorts(out sink, set *rules.Set) {
	s := &c.m.standing
	for _, cohort := range console.Cohorts(set, c.e.store.Cohorts(), c.e.now()) {
		if len(cohort.Segments) == 0 {
			continue
		}
		if !cohort.Synced.IsZero() {
			out.gauge(s.cohortAge, float64(cohort.Age), cohort.Name)
		}
		out.gauge(s.cohortMembers, float64(cohort.Members), cohort.Name)
		out.gauge(s.cohortExpired, truth(cohort.Expired), cohort.Name)
	}
	for name, n := range c.e.puller.Counts() {
		out.count(s.pulls, n.Replaced, name, "replaced")
		out.count(s.pulls, n.Unchanged, name, "unchanged")
		out.count(s.pulls, n.Failed, name, "failure")
	}
}

func (c standingCollector) collectRules(out sink, set *rules.Set) {
	s := &c.m.standing
	standings, warming, now := c.e.store.Standings(), c.e.store.Warming(), c.e.now()
	served := map[string]bool{}
	for _, r := range c.e.live.Load().Live() {
		served[r.Name] = true
	}
	for _, r := range set.Rules {
		st, known := standings[r.Name]
		is, _ := console.RuleState(r, set, st, warming, now)
		if is == "live" && !served[r.Name] {
			is = "off" // all are, for as long as nothing may be changed
		}
		for _, state := range console.States {
			out.gauge(s.state, truth(state == is), r.Name, state)
		}
		c.collectServing(out, r.Name, now)
		out.gauge(s.limit, -math.Log(r.Guardrail.Alpha), r.Name)
		if !known {
			continue // between a load and its being computed
		}
		out.gauge(s.guardrail, st.Verdict.LogE, r.Name)
		out.gauge(s.blind, truth(st.Verdict.Blind), r.Name)
		for _, reason := range store.HoldReasons {
			is := slices.ContainsFunc(st.Run.Holds, func(h store.Hold) bool { return h.Reason == reason })
			out.gauge(s.held, truth(is), r.Name, string(reason))
		}
		out.gauge(s.srm, st.Verdict.SRM.P, r.Name)
		out.gauge(s.share, st.Run.Stage.Share, r.Name)
		var t, k outcomes.Counts
		for _, ep := range st.Tally.Epochs {
			t.Exposed += ep.TreatmentArm.Exposed
			t.Moved += ep.TreatmentArm.Moved
			k.Exposed += ep.ControlArm.Exposed
			k.Moved += ep.ControlArm.Moved
		}
		out.gauge(s.exposed, float64(t.Exposed), r.Name, string(rules.Treatment))
		out.gauge(s.exposed, float64(k.Exposed), r.Name, string(rules.Control))
		out.count(s.flips, uint64(t.Moved+k.Moved), r.Name, "rollout")
		out.count(s.flips, uint64(st.Tally.Mixed), r.Name, "two-ids")
	}
}

// sink is where a collector puts its metrics.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) count(d *prometheus.Desc, v uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
