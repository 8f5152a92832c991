package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/seed14307185/refract/rules"
)

// sites writes variants of the shared site: a rule is live, a draft, stopped by
// its file, of other content, or about to expire, or everything is off.
func sites(t *testing.T, c *clock) (all []*rules.Set) {
	t.Helper()
	for i, edit := range []func(rule, edge string) (string, string){
		func(rule, edge string) (string, string) { return rule, edge },
		func(rule, edge string) (string, string) {
			return strings.Replace(rule, "state: live", "state: draft", 1), edge
		},
		func(rule, edge string) (string, string) {
			return strings.Replace(rule, "state: live", "state: rolled_back", 1), edge
		},
		func(rule, edge string) (string, string) {
			return strings.Replace(rule, "within: 7d", "within: 6d", 1), edge
		},
		func(rule, edge string) (string, string) {
			at := c.now().Add(time.Hour).UTC().Format(time.RFC3339)
			return strings.Replace(rule, "state: live", "state: live\nexpires: "+at, 1), edge
		},
		func(rule, edge string) (string, string) { return rule, edge + "off: true\n" },
		func(rule, edge string) (string, string) { return rule, edge + "approvals: 1\n" }, // nobody has approved it
	} {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.CopyFS(dir, os.DirFS("../testdata/sites/loop")); err != nil {
			t.Fatal(err)
		}
		names := []string{filepath.Join(dir, "rules", "invite-teammate.yaml"), filepath.Join(dir, "refract.yaml")}
		var is [2]string
		for j, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			is[j] = string(b)
		}
		rule := is[0]
		if i == 4 { // it has a date of its own
			var kept []string
			for line := range strings.Lines(rule) {
				if !strings.HasPrefix(line, "expires:") {
					kept = append(kept, line)
				}
			}
			rule = strings.Join(kept, "")
		}
		is[0], is[1] = edit(rule, is[1])
		for j, name := range names {
			if err := os.WriteFile(name, []byte(is[j]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		set, err := rules.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, set)
	}
	return all
}

// TestPast drives stores at random, through restarts, and writes down after each
// step what was served. The ledger must say the same of each of these times.
func TestPast(t *testing.T) {
	ctx := context.Background()
	reached := map[string]int{}
	for seed := range uint64(5) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		c := &clock{t: epoch}
		dir, all := t.TempDir(), sites(t, c)
		options := Options{Dir: dir, Now: c.now, Log: slog.New(slog.DiscardHandler), Reserve: 1}
		s, err := Open(options)
		if err != nil {
			t.Fatal(err)
		}
		set := all[0]
		if err := s.Use(ctx, set, func() {}); err != nil {
			t.Fatal(err)
		}
		hand, files := "", map[string]bool{}
		type moment struct {
			at     time.Time
			set    *rules.Set
			served map[string]bool
			did    string
		}
		var moments []moment
		for range 60 {
			c.advance(time.Duration(1+rnd.IntN(300)) * time.Second)
			rule := []string{"invite-teammate", "schedule-report"}[rnd.IntN(2)]
			did := ""
			switch rnd.IntN(7) {
			case 0:
				set = all[rnd.IntN(len(all))]
				err, did = s.Use(ctx, set, func() {}), "loads "+set.Revision
			case 1:
				err, did = s.Rollback(ctx, rule, ByPerson, "ann", ""), "rolls back "+rule
			case 2:
				err, did = s.Resume(ctx, rule, "ann", ""), "resumes "+rule
			case 3:
				hand, did = []string{"api", "signal"}[rnd.IntN(2)], "off"
				err = s.Note(ctx, Entry{Kind: "off", Who: strings.TrimSpace(hand + " ann")})
			case 4:
				if hand != "" {
					err, did = s.Note(ctx, Entry{Kind: "on", Who: []string{"api bob", "signal"}[rnd.IntN(2)]}), "on"
				}
				hand = ""
			case 5:
				of := []string{"", rule}[rnd.IntN(2)]
				kind := map[bool]string{true: "on", false: "off"}[files[of]]
				files[of] = !files[of]
				err, did = s.Note(ctx, Entry{Kind: kind, Who: "kill-file", Rule: of}), "kill file "+of+kind
			case 6:
				closed(t, s)
				if s, err = Open(options); err == nil {
					err = s.Use(ctx, set, func() {})
				}
				hand, did = "", "restarts"
				for of, is := range files {
					if is && err == nil {
						err = s.Note(ctx, Entry{Kind: "off", Who: "kill-file", Rule: of})
					}
				}
			}
			if err != nil && !errors.Is(err, ErrStopped) && !errors.Is(err, ErrRunning) {
				t.Fatal(err)
			}
			m := moment{at: c.now(), set: set, served: map[string]bool{}, did: did}
			for _, r := range set.Rules {
				m.served[r.Name] = r.State == rules.Live && !set.Edge.Off && r.Approved(c.now()) && (r.Expires.IsZero() || c.now().Before(r.Expires)) &&
					s.Standings()[r.Name].Run.Stop == nil && hand == "" && !files[""] && !files[r.Name]
			}
			moments = append(moments, m)
		}
		lines, err := s.Ledger(ctx, 1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range moments {
			var p Past
			for _, line := range lines {
				var e Entry
				if err := json.Unmarshal(line, &e); err != nil {
					t.Fatal(err)
				}
				if !e.At.After(m.at) {
					p.Add(&e)
				}
			}
			site, err := s.Site(&p.Load)
			if err != nil {
				t.Fatal(err)
			}
			served := map[string]bool{}
			for _, r := range p.Rules(site, m.at) {
				served[r.Name] = r.Served
				reached[r.Why+" "+r.By]++
			}
			if p.Load.Revision != m.set.Revision || !maps.Equal(served, m.served) {
				t.Fatalf("seed %d, step %d, which %s: revision %s and %v, the ledger says %s and %v", seed, i, m.did, m.set.Revision, m.served, p.Load.Revision, served)
			}
			for name, data := range m.set.Files {
				if site.Files[name] != string(data) || len(site.Files) != len(m.set.Files) {
					t.Fatalf("seed %d, step %d: %s is kept as %q", seed, i, name, site.Files[name])
				}
			}
		}
		closed(t, s)
	}
	for _, why := range []string{" ", "draft ", "rolled_back person", "rolled_back file", "off file", "off api", "off signal", "off kill-file", "expired ", "unapproved "} {
		if reached[why] == 0 {
			t.Errorf("no history reaches %q: %v", why, reached)
		}
	}
}

// What was kept of a site is told from what somebody put in its place.
func TestSiteIsWhatWasLive(t *testing.T) {
	c := &clock{t: epoch}
	s := open(t, t.TempDir(), c, nil)
	defer closed(t, s)
	lines, err := s.Ledger(context.Background(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var load Entry
	if err := json.Unmarshal(lines[0], &load); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Site(&load); err != nil || !load.Start {
		t.Fatalf("%+v: %v", load, err)
	}
	if _, err := s.Site(&Entry{Revision: load.Revision}); !errors.Is(err, ErrNoSite) {
		t.Errorf("of a load of an earlier release: %v", err)
	}
	packed, err := s.get(siteKey(load.Site))
	if err != nil {
		t.Fatal(err)
	}
	for i := range packed {
		b := append([]byte(nil), packed...)
		b[i] ^= 0x10
		if err := s.db.Set(siteKey(load.Site), b, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if is, err := s.Site(&load); err == nil && is.Files["refract.yaml"] != string(loadSite(t).Files["refract.yaml"]) {
			t.Fatalf("with byte %d changed it is another", i)
		}
		if err := s.db.Set(siteKey(load.Site), b[:i], pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Site(&load); err == nil {
			t.Fatalf("cut at byte %d it is believed", i)
		}
	}
}
