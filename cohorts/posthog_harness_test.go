package cohorts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/cohorts"
	"github.com/seed14307185/refract/internal/pipes"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// kept are memberships in memory.
type kept struct {
	mu       sync.Mutex
	members  map[string][]string
	replaced int
	synced   map[string]time.Time
	limit    time.Duration // of the last change
}

func (k *kept) ReplaceCohort(_ context.Context, name string, limit time.Duration, members []segments.Unit) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.members == nil {
		k.members, k.synced = map[string][]string{}, map[string]time.Time{}
	}
	list := ids(members)
	slices.Sort(list)
	k.members[name], k.synced[name], k.limit = list, time.Now(), limit
	k.replaced++
	return nil
}

func (k *kept) ChangeCohort(_ context.Context, name string, limit time.Duration, c store.Change) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(c.Add)+len(c.Remove) > 0 || k.members[name] == nil {
		panic("a pull changes no members")
	}
	k.synced[name], k.limit = time.Now(), limit
	return nil
}

func (k *kept) Cohorts() map[string]store.Cohort {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := map[string]store.Cohort{}
	for name, m := range k.members {
		all[name] = store.Cohort{Name: name, Members: len(m), Synced: k.synced[name], Limit: k.limit}
	}
	return all
}

func (k *kept) of(name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.members[name], " ")
}

// times is how often a membership was replaced.
func (k *kept) times() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.replaced
}

func (k *kept) age(name string) time.Duration { return time.Since(k.Cohorts()[name].Synced) }

func (k *kept) drop(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.members, name)
}

// lines is a log in memory.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// request is one that PostHog got.
type request struct {
	at   time.Duration // since the beginning
	path string        // with its query
}

// posthog is a project at PostHog, in a synctest bubble: connections are in
// memory, so that time goes on while somebody waits on one.
type posthog struct {
	t        *testing.T
	began    time.Time
	listener *pipes.Listener
	log      lines

	mu       sync.Mutex
	requests []request
	meta     map[int]map[string]any
	persons  map[int][][]string // distinct ids, of each
	size     int                // of a page
	// before answers in place of the project, if it returns true; called with mu held.
	before func(w http.ResponseWriter, r *http.Request, n int) bool
}

const personalKey = "phx_0123456789"

func (p *posthog) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != "us.posthog.test:80" {
		p.t.Errorf("somebody connects to %s", address)
	}
	return p.listener.Dial(ctx, network, address)
}

func (p *posthog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, request{time.Since(p.began), r.URL.String()})
	if p.before != nil && p.before(w, r, len(p.requests)) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+personalKey {
		http.Error(w, `{"type":"authentication_error","detail":"Invalid personal API key."}`, http.StatusUnauthorized)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/projects/4711/cohorts/")
	number, what, _ := strings.Cut(rest, "/")
	id, err := strconv.Atoi(number)
	if !ok || err != nil || p.meta[id] == nil {
		http.Error(w, `{"detail":"Not found."}`, http.StatusNotFound)
		return
	}
	switch what {
	case "":
		m := map[string]any{"id": id, "name": "Stuck", "cohort_type": nil, "filters": map[string]any{}}
		for k, v := range p.meta[id] {
			m[k] = v
		}
		answer(w, m)
	case "persons/":
		q := r.URL.Query()
		if q.Get("format") != "json" {
			p.t.Errorf("asked for %s", r.URL)
		}
		from, _ := strconv.Atoi(q.Get("offset"))
		to := min(from+p.size, len(p.persons[id]))
		results := []any{}
		for _, ids := range p.persons[id][from:to] {
			results = append(results, map[string]any{"id": "x", "type": "person", "distinct_ids": ids, "properties": map[string]any{"distinct_ids": 7}})
		}
		var next any
		if to < len(p.persons[id]) { // as behind a proxy that ends TLS
			next = fmt.Sprintf("https://%s%s?format=json&limit=%s&offset=%d", r.Host, r.URL.Path, q.Get("limit"), to)
		}
		answer(w, map[string]any{"next": next, "previous": nil, "results": results})
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// set changes the project.
func (p *posthog) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *posthog) asked() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

func (p *posthog) logs() string { return p.log.String() }

func (p *posthog) logged(text string) int { return strings.Count(p.logs(), text) }

// pulling runs f in a bubble with a Puller of cohort 98, of three persons on two
// pages, that has begun.
func pulling(t *testing.T, f func(p *posthog, k *kept, puller *cohorts.Puller)) {
	synctest.Test(t, func(t *testing.T) {
		p := &posthog{
			t: t, began: time.Now(), listener: pipes.Listen(), size: 2,
			meta:    map[int]map[string]any{98: {"last_calculation": "2026-11-28T09:00:00Z", "is_calculating": false, "count": 3}},
			persons: map[int][][]string{98: {{"ann", "ann-device"}, {"bob"}, {"cid", "", strings.Repeat("x", 201), "c\x01d"}}},
		}
		server := &http.Server{Handler: p}
		go func() { _ = server.Serve(p.listener) }()
		transport := &http.Transport{DialContext: p.dial}
		k := &kept{}
		puller := &cohorts.Puller{Keeper: k, Log: slog.New(slog.NewTextHandler(&p.log, nil)), Transport: transport}
		f(p, k, puller)
		puller.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
}

func project(list ...int) cohorts.PostHog {
	return cohorts.PostHog{
		Host: &url.URL{Scheme: "http", Host: "us.posthog.test"}, Project: "4711", Key: personalKey,
		Cohorts: list, Every: 10 * time.Minute, MaxAge: time.Hour,
	}
}

const everyone = "ann ann-device bob cid"
