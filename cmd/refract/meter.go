package main

import (
	"iter"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed14307185/refract/certs"
	"github.com/seed14307185/refract/events/ingest"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/proxy/front"
	"github.com/seed14307185/refract/rewrite"
	"github.com/seed14307185/refract/store"
)

// meter holds the metrics. Label values come from the site directory and from
// fixed sets, never from requests. Safe for concurrent use.
type meter struct {
	registry *prometheus.Registry
	families []family // all but those of Go's runtime, as docs/operations.md lists them

	requests     *prometheus.CounterVec
	inFlight     prometheus.Gauge
	duration     prometheus.Histogram
	originErrors prometheus.Counter
	heldOut      prometheus.Counter

	responses   *prometheus.CounterVec
	rewriting   prometheus.Histogram
	passthrough *prometheus.CounterVec
	passed      map[proxy.Reason]*atomic.Uint64 // the same, for reports
	missing     *prometheus.CounterVec
	duplicate   *prometheus.CounterVec
	untouched   *prometheus.CounterVec
	trips       *prometheus.CounterVec
	compared    *prometheus.CounterVec
	rollback    *prometheus.GaugeVec
	drillAt     *prometheus.GaugeVec
	drillTook   *prometheus.GaugeVec
	stops       *prometheus.CounterVec

	unserved     *prometheus.CounterVec
	issuances    *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	withholdings *prometheus.CounterVec
	reloads      *prometheus.CounterVec
	reloadOK     prometheus.Gauge
	reloadedAt   prometheus.Gauge

	standing standing

	// What is read off other rooms at each scrape. Set before the first;
	// nil: there is nothing to read. They must be safe for concurrent use.
	servers      iter.Seq2[string, bool]      // the origins' servers, and whether requests are sent to them
	connections  func() int                   // of visitors, open now
	certificates iter.Seq2[string, time.Time] // hosts of the certificates that are served, and when they expire
	accessLost   func() uint64                // lines of the access log that were dropped
	logLost      func() uint64                // lines of the other log that were dropped
}

// family is what is told of a metric: its name without "refract_".
type family struct {
	name, kind, help string
	labels           []string
}

func (m *meter) family(kind, name, help string, labels []string) string {
	m.families = append(m.families, family{name, kind, help, labels})
	return "refract_" + name
}

func (m *meter) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.family("counter", name, help, labels), Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *meter) counter(name, help string) prometheus.Counter {
	return m.counters(name, help).WithLabelValues()
}

func (m *meter) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.family("gauge", name, help, labels), Help: help}, labels)
	m.registry.MustRegister(g)
	return g
}

func (m *meter) gauge(name, help string) prometheus.Gauge {
	return m.gauges(name, help).WithLabelValues()
}

func (m *meter) histogram(name, help string, buckets ...float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.family("histogram", name, help, nil), Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

func newMeter() *meter {
	m := &meter{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	build := buildOf()
	m.gauges("build_info", "1; the labels say what runs.", "version", "commit", "go").
		WithLabelValues(build.version, build.commit, runtime.Version()).Set(1)

	m.reloads = m.counters("config_reloads_total", "Reloads tried: success or failure.", "result")
	m.reloadOK = m.gauge("config_last_reload_successful", "1 if the last load of the site directory succeeded.")
	m.reloadedAt = m.gauge("config_last_reload_success_timestamp_seconds", "When the site directory was last loaded with success.")

	m.requests = m.counters("http_requests_total", "Requests answered. 499 is a client that left before there was an answer.", "code", "method")
	m.inFlight = m.gauge("http_requests_in_flight", "Requests being served.")
	m.duration = m.histogram("http_request_duration_seconds", "Time from the request's head to the response's end.",
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
	m.originErrors = m.counter("origin_errors_total", "Requests that the origin did not answer, or broke off.")

	m.responses = m.counters("rule_responses_total",
		"Pages on which a rule's surface was found and could be changed, in either arm; the operation is what auto came to.", "rule", "arm", "operation")
	m.rewriting = m.histogram("rewrite_duration_seconds", "Time that a page's rewriting took, its decoding included, the waiting for the origin not.",
		.00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1)
	m.passthrough = m.counters("passthrough_total", "Pages that a rule could touch and that went through untouched.", "reason")
	m.heldOut = m.counter("holdout_pages_total", "Pages that a rule could touch, of visitors in the site's holdout or with an account in it.")
	m.missing = m.counters("surface_missing_total", "Pages on which a decided surface was not found.", "surface")
	m.duplicate = m.counters("surface_duplicate_total", "Pages on which a decided surface was found more than once; the first is changed. One page in eight is searched to its end for that, others to the last surface wanted.", "surface")
	m.untouched = m.counters("surface_untouched_total", "Pages on which a decided surface was found and left alone.", "surface", "reason")
	m.trips = m.counters("guardrail_trips_total", "Rules stopped since the process started: by guardrail, serving, person, monitor, deadline or file.", "rule", "cause")
	m.compared = m.counters("control_pages_compared_total", "Pages of the control arm that were compared with the origin's, byte for byte: same or different.", "result")
	m.rollback = m.gauges("rollback_last_duration_seconds", "Of the rule's last stop, the time from the decision to the set without the rule being live; 0 where it was off before.", "rule")

	m.drillAt = m.gauges("drill_last_success_timestamp_seconds", "When a drill of the rule last stopped its twin.", "rule")
	m.drillTook = m.gauges("drill_last_duration_seconds", "Of that drill, the time from the deciding event to the set without the twin being live.", "rule")

	m.stops = m.counters("monitor_alarms_total", "Alarms of monitors by what became of them: "+strings.Join(stopResults, ", ")+".", "monitor", "result")

	m.unserved = m.counters("unserved_total", "Connections and requests of visitors that were refused or given up before the proxy had them.", "reason")
	m.issuances = m.counters("tls_issuances_total", "Certificates asked of the CA: success or failure.", "result")
	m.refusals = m.counters("ingest_refused_total", "Ingest requests refused.", "reason")
	m.withholdings = m.counters("ingest_withheld_total", "Ingest requests of browsers answered with success and not kept, for want of consent: no cookie that says so, or Sec-GPC.", "reason")
	m.standing = m.newStanding()

	// Those whose values are few exist from the start: a rate needs a first value.
	m.passed = map[proxy.Reason]*atomic.Uint64{}
	for _, why := range proxy.Reasons {
		m.passthrough.WithLabelValues(string(why))
		m.passed[why] = new(atomic.Uint64)
	}
	for _, why := range ingest.WithheldReasons {
		m.withholdings.WithLabelValues(why)
	}
	for _, why := range front.Reasons {
		m.unserved.WithLabelValues(string(why))
	}
	for _, result := range []string{"same", "different"} {
		m.compared.WithLabelValues(result)
	}
	for _, result := range []string{"success", "failure"} {
		m.issuances.WithLabelValues(result)
	}
	m.reloads.WithLabelValues("success")
	m.reloads.WithLabelValues("failure")
	m.reloadOK.Set(1)
	m.reloadedAt.SetToCurrentTime()
	return m
}

// handler serves the metrics, with those that are read off the edge.
func (m *meter) handler(e *edge) http.Handler {
	m.registry.MustRegister(standingCollector{m, e})
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

func (m *meter) exchange(x *proxy.Exchange) {
	m.requests.WithLabelValues(code(x.Status), method(x.Request.Method)).Inc()
	m.duration.Observe(x.Took.Seconds())
	if x.Passthrough != "" {
		m.passthrough.WithLabelValues(string(x.Passthrough)).Inc()
		if n := m.passed[x.Passthrough]; n != nil {
			n.Add(1)
		}
	}
	if x.HeldOut {
		m.heldOut.Inc()
	}
	if x.OriginError != nil && !x.ClientGone {
		m.originErrors.Inc()
	}
	if x.Rewriting > 0 {
		m.rewriting.Observe(x.Rewriting.Seconds())
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

// code bounds what an origin can make of the label.
func code(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return strconv.Itoa(status)
}

// method bounds what a client can make of the label.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

func (m *meter) turnedAway(why front.Reason) { m.unserved.WithLabelValues(string(why)).Inc() }

func (m *meter) issued(e certs.Event) {
	if e.Err != nil {
		m.issuances.WithLabelValues("failure").Inc()
		return
	}
	m.issuances.WithLabelValues("success").Inc()
}

func (m *meter) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

func (m *meter) withheld(reason string) { m.withholdings.WithLabelValues(reason).Inc() }

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

// stopped counts a stop whose rule left the live set at the given time.
func (m *meter) stopped(s store.Stop, published time.Time) {
	m.trips.WithLabelValues(s.Rule, string(s.Cause)).Inc()
	m.rollback.WithLabelValues(s.Rule).Set(max(0, published.Sub(s.Decided).Seconds()))
}

// drilled takes note of a drill that succeeded.
func (m *meter) drilled(rule string, d *store.Drill) {
	m.drillAt.WithLabelValues(rule).Set(float64(d.Published.UnixMilli()) / 1000)
	m.drillTook.WithLabelValues(rule).Set(d.Published.Sub(d.Sent).Seconds())
}

func (m *meter) monitored(monitor, result string) { m.stops.WithLabelValues(monitor, result).Inc() }
