package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/rules"
)

// meter holds the metrics. Label values come from the site directory and from
// fixed sets, never from requests.
type meter struct {
	registry     *prometheus.Registry
	requests     *prometheus.CounterVec
	duration     prometheus.Histogram
	inFlight     prometheus.Gauge
	responses    *prometheus.CounterVec
	passthrough  *prometheus.CounterVec
	missing      *prometheus.CounterVec
	duplicate    *prometheus.CounterVec
	untouched    *prometheus.CounterVec
	originErrors prometheus.Counter
	rollbacks    *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	reloads      *prometheus.CounterVec
	reloadOK     prometheus.Gauge
	reloadedAt   prometheus.Gauge
	logDropped   prometheus.Counter
}

func newMeter() *meter {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "refract_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "refract_" + name, Help: help})
	}
	m := &meter{
		registry: prometheus.NewRegistry(),
		requests: counter("http_requests_total", "Requests answered.", "code", "method"),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "refract_http_request_duration_seconds", Help: "Time from the request's head to the response's end.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		inFlight:    gauge("http_requests_in_flight", "Requests being served."),
		responses:   counter("rule_responses_total", "Pages on which a rule's surface was found and could be changed.", "rule", "arm", "operation"),
		passthrough: counter("passthrough_total", "Pages that a rule could touch and that went through untouched.", "reason"),
		missing:     counter("surface_missing_total", "Pages on which a decided surface was not found.", "surface"),
		duplicate:   counter("surface_duplicate_total", "Pages on which a decided surface was found more than once.", "surface"),
		untouched:   counter("surface_untouched_total", "Pages on which a decided surface was found and left alone.", "surface", "reason"),
		originErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "refract_origin_errors_total", Help: "Requests that the origin did not answer, or broke off."}),
		rollbacks:  counter("rollbacks_total", "Rules rolled back since the process started.", "rule", "cause"),
		refusals:   counter("ingest_refused_total", "Ingest requests refused.", "reason"),
		reloads:    counter("config_reloads_total", "Reloads tried.", "result"),
		reloadOK:   gauge("config_last_reload_successful", "1 if the last load of the site directory succeeded."),
		reloadedAt: gauge("config_last_reload_success_timestamp_seconds", "When the site directory was last loaded with success."),
		logDropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "refract_access_log_dropped_total", Help: "Access log lines dropped because their reader is too slow."}),
	}
	m.reloadOK.Set(1)
	m.reloadedAt.SetToCurrentTime()
	m.registry.MustRegister(m.requests, m.duration, m.inFlight, m.responses, m.passthrough, m.missing, m.duplicate, m.untouched,
		m.originErrors, m.rollbacks, m.refusals, m.reloads, m.reloadOK, m.reloadedAt, m.logDropped,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// handler serves the metrics, with those that are read off the edge.
func (m *meter) handler(e *edge) http.Handler {
	m.registry.MustRegister(standingCollector{e})
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *meter) exchange(x *proxy.Exchange) {
	m.requests.WithLabelValues(strconv.Itoa(x.Status), method(x.Request.Method)).Inc()
	m.duration.Observe(x.Took.Seconds())
	if x.Passthrough != "" {
		m.passthrough.WithLabelValues(string(x.Passthrough)).Inc()
	}
	if x.OriginError != nil && !x.ClientGone {
		m.originErrors.Inc()
	}
	for i, s := range x.Sightings {
		switch s.State {
		case rewrite.Missing:
			m.missing.WithLabelValues(s.Name).Inc()
		case rewrite.Swappable:
			m.responses.WithLabelValues(x.Decision[i].Rule.Name, string(x.Decision[i].Arm), string(s.Operation)).Inc()
		default:
			m.untouched.WithLabelValues(s.Name, string(s.Reason)).Inc()
		}
		if s.Count > 1 {
			m.duplicate.WithLabelValues(s.Name).Inc()
		}
	}
}

// method bounds what a client can make of the label.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

func (m *meter) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

func (m *meter) reloaded(err error, at time.Time) {
	if err != nil {
		m.reloads.WithLabelValues("failure").Inc()
		m.reloadOK.Set(0)
		return
	}
	m.reloads.WithLabelValues("success").Inc()
	m.reloadOK.Set(1)
	m.reloadedAt.Set(float64(at.Unix()))
}

// standingCollector reads the rules' standings and the store's counters when
// it is asked.
type standingCollector struct{ e *edge }

var (
	descInfo      = prometheus.NewDesc("refract_config_info", "The revision that is live.", []string{"hash"}, nil)
	descState     = prometheus.NewDesc("refract_rule_live", "1 if the rule is served.", []string{"rule"}, nil)
	descGuardrail = prometheus.NewDesc("refract_guardrail_ln_e", "Evidence against the guardrail, as the natural logarithm of the e-value.", []string{"rule"}, nil)
	descSRM       = prometheus.NewDesc("refract_srm_pvalue", "Anytime p-value of the sample ratio.", []string{"rule"}, nil)
	descExposed   = prometheus.NewDesc("refract_exposed_units", "Units exposed in the rule's present run.", []string{"rule", "arm"}, nil)
	descStoreUp   = prometheus.NewDesc("refract_store_up", "1 if the store takes writes.", nil, nil)
	descEvents    = prometheus.NewDesc("refract_events_total", "Events by what became of them.", []string{"result"}, nil)
	descExposures = prometheus.NewDesc("refract_exposures_total", "First exposures enrolled.", nil, nil)
	descDropped   = prometheus.NewDesc("refract_exposures_dropped_total", "Exposures and observed events dropped.", []string{"reason"}, nil)
)

func (standingCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descInfo, descState, descGuardrail, descSRM, descExposed, descStoreUp, descEvents, descExposures, descDropped} {
		ch <- d
	}
}

func (c standingCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	live := map[string]bool{}
	for _, r := range c.e.live.Load().Live() {
		live[r.Name] = true
	}
	gauge(descInfo, 1, c.e.set().Revision)
	for name, s := range c.e.store.Standings() {
		gauge(descState, truth(live[name]), name)
		gauge(descGuardrail, s.Verdict.LogE, name)
		gauge(descSRM, s.Verdict.SRM.P, name)
		var t, k outcomes.Counts
		for _, ep := range s.Tally.Epochs {
			t.Exposed += ep.TreatmentArm.Exposed
			k.Exposed += ep.ControlArm.Exposed
		}
		gauge(descExposed, float64(t.Exposed), name, string(rules.Treatment))
		gauge(descExposed, float64(k.Exposed), name, string(rules.Control))
	}
	gauge(descStoreUp, truth(c.e.store.Err() == nil))
	n := c.e.store.Counters()
	count(descEvents, n.Events, "appended")
	count(descEvents, n.Repeated, "repeated")
	count(descEvents, n.Refused, "refused")
	count(descExposures, n.Exposures)
	count(descDropped, n.Dropped, "queue")
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
