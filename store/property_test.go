package store

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/segments/oracle"
)

var (
	seed  = flag.Uint64("seed", 0, "first case of TestStoreAgainstOracle; 0: by the clock")
	cases = flag.Int("cases", 25, "how many cases TestStoreAgainstOracle generates")
)

// What the store keeps agrees with an oracle that keeps everything, whatever
// signs in, moves to another account, comes late or twice, and however the
// segments are edited and the process restarted in between.
func TestStoreAgainstOracle(t *testing.T) {
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("%d cases from -seed %d", *cases, first)
	checked := 0
	for i := range uint64(*cases) {
		c := &storeTrial{T: t, model: newModel(), dir: t.TempDir(), base: loadSite(t)}
		c.Generator = oracle.Generator{Rand: rand.New(rand.NewPCG(first+i, 1)), Unit: []time.Duration{time.Second, 6 * time.Hour}[i%2]}
		c.clock = &clock{t: epoch}
		c.run()
		if checked += c.checked; t.Failed() {
			t.Fatalf("again: -run TestStoreAgainstOracle -cases 1 -seed %d\n%s", first+i, strings.Join(c.log, "\n"))
		}
	}
	t.Logf("%d comparisons", checked)
}

// model is what the oracle knows: every event once, and who is whom.
type model struct {
	into    map[string]string // the visitor that one was merged into
	visitor map[string]oracle.History
	account map[string]oracle.History
	seen    map[string]bool
}

func newModel() *model {
	return &model{map[string]string{}, map[string]oracle.History{}, map[string]oracle.History{}, map[string]bool{}}
}

func (m *model) canonical(id string) string {
	for m.into[id] != "" {
		id = m.into[id]
	}
	return id
}

// append is docs/segments.md on identity, accounts and repetitions.
func (m *model) append(e events.Event) {
	if e.ID != "" && m.seen[e.ID] {
		return
	}
	m.seen[e.ID] = true
	e.Visitor = m.canonical(e.Visitor)
	if a := e.Anonymous; a != "" && m.canonical(a) == a && a != e.Visitor {
		m.into[a] = e.Visitor
		m.visitor[e.Visitor] = append(m.visitor[e.Visitor], m.visitor[a]...)
		delete(m.visitor, a)
		for _, h := range m.account {
			for _, past := range h {
				if past.Visitor == a {
					past.Visitor = e.Visitor
				}
			}
		}
	}
	m.visitor[e.Visitor] = append(m.visitor[e.Visitor], &e)
	account := e.Account
	if account == "" {
		account = m.visitor[e.Visitor].Account()
	}
	if account != "" {
		theirs := e
		theirs.Account = account
		m.account[account] = append(m.account[account], &theirs)
	}
}

type storeTrial struct {
	oracle.Generator
	*testing.T
	*model
	dir     string
	clock   *clock
	base    *rules.Set
	set     *rules.Set
	s       *Store
	sent    []*events.Event
	edits   int
	checked int
	log     []string
}

func (c *storeTrial) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

const storeLate = 24 * time.Hour // events.late of the shared site

func (c *storeTrial) run() {
	c.reopen()
	defer func() { closed(c.T, c.s) }()
	for range 12 + c.IntN(12) {
		if c.Failed() {
			return
		}
		switch c.IntN(12) {
		case 0:
			c.edit()
		case 1:
			c.note("restart")
			closed(c.T, c.s)
			c.reopen()
		default:
			c.clock.advance(time.Duration(c.IntN(3)) * c.Unit)
			c.send()
		}
		if c.IntN(3) == 0 {
			c.check()
		}
	}
	c.check()
}

func (c *storeTrial) reopen() {
	s, err := Open(Options{Dir: c.dir, Log: slog.New(slog.DiscardHandler), Now: c.clock.now, Reserve: 1})
	if err != nil {
		c.Fatal(err)
	}
	c.s = s
	if c.set == nil {
		c.edit()
	} else {
		use(c.T, s, c.set)
	}
}

// edit replaces some of the segments.
func (c *storeTrial) edit() {
	var list []segments.Segment
	if c.set != nil && c.IntN(3) > 0 {
		list = append(list, c.set.Segments[c.IntN(len(c.set.Segments))])
	}
	for range 2 {
		c.Who = []segments.Who{segments.Visitor, segments.Account}[c.IntN(2)]
		list = append(list, segments.Segment{Who: c.Who, Condition: c.Condition(2)})
	}
	for i := range list {
		list[i].Name = fmt.Sprint("s", i)
		c.note("%s %s %v", list[i].Name, list[i].Who, list[i].Condition)
	}
	program, err := segments.Compile(list, storeLate)
	if err != nil {
		c.Fatal(err)
	}
	c.edits++
	set := *c.base
	set.Segments, set.Program, set.Revision = list, program, fmt.Sprint(c.edits)
	c.set = &set
	use(c.T, c.s, c.set)
}

func (c *storeTrial) send() {
	if len(c.sent) > 0 && c.IntN(6) == 0 {
		again := *c.sent[c.IntN(len(c.sent))]
		again.Received = c.clock.now()
		c.note("again %s", again.ID)
		c.deliver(&again)
		return
	}
	e := c.Event(c.clock.now(), min(storeLate, 3*c.Unit))
	e.ID = fmt.Sprint("id-", len(c.sent))
	if c.IntN(6) == 0 {
		e.Anonymous = []string{"v1", "v2", "v3", "v4"}[c.IntN(4)]
		if e.Kind == events.Track && c.IntN(2) == 0 {
			e.Kind, e.Name = events.Alias, ""
		}
	}
	c.sent = append(c.sent, e)
	c.deliver(e)
}

func (c *storeTrial) deliver(e *events.Event) {
	c.note("%s %s %q at %d received %d by %s (%s) of %q %v %v", e.ID, e.Kind, e.Name, e.Time.UnixMilli(), e.Received.UnixMilli(), e.Visitor, e.Anonymous, e.Account, e.Properties, e.Traits)
	appendAll(c.T, c.s, e)
	c.append(*e)
}

func (c *storeTrial) check() {
	now := c.clock.now().UnixMilli()
	for _, id := range []string{"v1", "v2", "v3", "v4"} {
		u, record := c.s.Lookup(segments.Unit{Who: segments.Visitor, ID: id})
		canonical := c.canonical(id)
		if u.ID != canonical {
			c.Errorf("%s stands for %s, want %s", id, u.ID, canonical)
		}
		if record.Account != c.visitor[canonical].Account() {
			c.Errorf("%s is of %q, want %q", id, record.Account, c.visitor[canonical].Account())
		}
		c.compare(u, record, c.visitor[canonical], now)
	}
	for _, id := range []string{"acme", "globex"} {
		u, record := c.s.Lookup(segments.Unit{Who: segments.Account, ID: id})
		c.compare(u, record, c.account[id], now)
	}
}

func (c *storeTrial) compare(u segments.Unit, record segments.Record, h oracle.History, now int64) {
	if len(h) == 0 {
		return // of whom nothing is known, no segment holds
	}
	for _, seg := range c.set.Segments {
		if seg.Who != u.Who {
			continue
		}
		for _, at := range oracle.Moments(seg.Condition, h, now) {
			c.checked++
			if got, want := record.Holds(seg.Key(), at), h.Holds(seg.Condition, seg.Who, at); got != want {
				c.Errorf("%s %s: %s holds at now %d + %d: %v, want %v", u.Who, u.ID, seg.Name, now, at-now, got, want)
				return
			}
		}
	}
}
