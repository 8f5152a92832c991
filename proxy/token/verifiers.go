package token

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
)

// Verifiers verify what the sources of a site ask proof for. Set the fields, then
// call Use. It is safe for concurrent use.
type Verifiers struct {
	// Log is told when a key set can't be fetched, and when it can again.
	Log *slog.Logger
	// Now is the clock that tokens expire by; nil: time.Now.
	Now func() time.Time
	// Transport carries requests for key sets; nil: one with this package's
	// settings.
	Transport http.RoundTripper

	live atomic.Pointer[Sources]

	mu     sync.Mutex
	sets   map[string]*keySet // that are kept fresh, by URL; guarded by mu
	closed bool               // guarded by mu
	ended  sync.WaitGroup
}

// Sources are the sources of one load of a site that ask for proof.
type Sources struct {
	now    []*source
	before []*source // of the load before, for requests that began under it
}

// source is an identity source.
type source struct {
	kind, name string
	proof      rules.Proof
	jwt        *verifier // nil: of a signature
	claim      int       // of jwt.claims
	refused    *counts
}

type counts [len(Reasons)]atomic.Uint64

// label names a source as the site directory does, but for what it must say.
func (s *source) label() string {
	if s.proof.Format == rules.JWT {
		return "jwt:" + s.name
	}
	return "signed:" + s.name
}

// Prepare reads the key sets that are files, and returns what Use makes live. It
// starts nothing and changes nothing.
func (v *Verifiers) Prepare(identity *rules.Identity) (*Sources, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.live.Load()
	if before == nil {
		before = &Sources{}
	}
	next := &Sources{before: before.now}
	claims := map[rules.Proof][]string{} // by the proof without its claim
	for _, s := range slices.Concat(identity.Visitor, identity.Account) {
		if s.Proof == nil {
			continue
		}
		n := &source{kind: s.Kind, name: s.Name, proof: *s.Proof}
		for _, other := range slices.Concat(next.now, before.now) {
			if other.label() == n.label() {
				n.refused = other.refused
				break
			}
		}
		if n.refused == nil {
			n.refused = new(counts)
		}
		if s.Proof.Format == rules.JWT {
			kind := *s.Proof
			kind.Claim = ""
			if !slices.Contains(claims[kind], s.Proof.Claim) {
				claims[kind] = append(claims[kind], s.Proof.Claim)
			}
			n.claim = slices.Index(claims[kind], s.Proof.Claim)
		}
		next.now = append(next.now, n)
	}
	sets := maps.Clone(v.sets)
	if sets == nil {
		sets = map[string]*keySet{}
	}
	for kind, claims := range claims {
		jwt, err := verifierOf(before, sets, kind, claims)
		if err != nil {
			return nil, err
		}
		for _, s := range next.now {
			of := s.proof
			if of.Claim = ""; of == kind {
				s.jwt = jwt
			}
		}
	}
	return next, nil
}

// verifierOf returns the verifier of a kind of JWT: that of the load before, with
// what it remembers, if nothing about it has changed. Key sets are in sets, by
// URL; one that is new is added.
func verifierOf(before *Sources, sets map[string]*keySet, kind rules.Proof, claims []string) (*verifier, error) {
	next := &verifier{proof: kind, claims: claims}
	k := noKeys()
	switch {
	case kind.Secret != "":
		k = sharedKey(kind.Secret)
	case kind.Remote():
		if sets[kind.Keys] == nil {
			sets[kind.Keys] = newKeySet(kind.Keys)
		}
		next.keys = sets[kind.Keys]
		k = next.keys.now.Load()
	default:
		raw, err := os.ReadFile(kind.Keys)
		if err == nil {
			k, err = parseKeys(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("refract.yaml: identity: jwks: %s: %w", kind.Keys, err)
		}
	}
	for _, s := range before.now {
		if s.jwt != nil && s.jwt.proof == kind && slices.Equal(s.jwt.claims, claims) && s.jwt.keys == next.keys &&
			(next.keys != nil || slices.Equal(s.jwt.state.Load().keys.raw, k.raw)) {
			return s.jwt, nil
		}
	}
	next.state.Store(newState(k))
	return next, nil
}

// Use makes live what Prepare returned last, and has the key sets that it needs
// fetched from now on.
func (v *Verifiers) Use(s *Sources) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	sets := map[string]*keySet{}
	for _, source := range s.now {
		if source.jwt == nil || source.jwt.keys == nil {
			continue
		}
		set := source.jwt.keys
		if sets[set.url] == nil && v.sets[set.url] != set {
			v.start(set)
		}
		sets[set.url] = set
	}
	for url, set := range v.sets {
		if sets[url] != set {
			set.stop()
		}
	}
	v.sets = sets
	v.live.Store(s)
}

// Await returns when each key set in use was fetched, or couldn't be, or when ctx
// ends: visitors who come before that are nobody.
func (v *Verifiers) Await(ctx context.Context) {
	v.mu.Lock()
	sets := maps.Clone(v.sets)
	v.mu.Unlock()
	for _, set := range sets {
		select {
		case <-set.tried:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends the fetching of key sets. What is there goes on being used.
func (v *Verifiers) Close() {
	v.mu.Lock()
	v.closed = true
	for _, set := range v.sets {
		set.stop()
	}
	v.mu.Unlock()
	v.ended.Wait()
}

// ID returns the id that the value of a source's cookie or header proves; empty:
// none. The value is refused as a whole or believed: what a token says beside its
// id is not looked at. It waits for nothing.
func (v *Verifiers) ID(s *rules.IdentitySource, value string) string {
	live := v.live.Load()
	if live == nil || s.Proof == nil || value == "" {
		return ""
	}
	found := live.find(s)
	if found == nil {
		return ""
	}
	if s.Kind == "header" {
		scheme, rest, ok := strings.Cut(value, " ")
		switch {
		case ok && strings.EqualFold(scheme, "Bearer"):
			value = strings.Trim(rest, " ")
		case s.Name == "Authorization":
			return "" // of another scheme, such as Basic
		}
	}
	id, why := found.id(value, v.time())
	if why != "" {
		found.refused[slices.Index(Reasons[:], why)].Add(1)
	}
	return id
}

func (v *Verifiers) time() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

func (s *Sources) find(want *rules.IdentitySource) *source {
	for _, list := range [...][]*source{s.now, s.before} {
		for _, c := range list {
			if c.name == want.Name && c.kind == want.Kind && c.proof == *want.Proof {
				return c
			}
		}
	}
	return nil
}

// id returns the id that a value proves, or why it proves none.
func (s *source) id(value string, now time.Time) (string, Reason) {
	if s.jwt == nil {
		id, why := unsign(&s.proof, s.name, value, now)
		if why != "" {
			return "", why
		}
		if id = validID(id); id == "" {
			return "", Claim
		}
		return id, ""
	}
	found := s.jwt.look(value, now)
	if found.why != "" {
		return "", found.why
	}
	if id := found.ids[s.claim]; id != "" {
		return id, ""
	}
	return "", Claim
}

// Refused returns, for each source in use, named jwt:NAME or signed:NAME, how
// many values were refused since the process started, by reason.
func (v *Verifiers) Refused() map[string]map[Reason]uint64 {
	all := map[string]map[Reason]uint64{}
	if live := v.live.Load(); live != nil {
		for _, s := range live.now {
			by := map[Reason]uint64{}
			for i, why := range Reasons {
				by[why] = s.refused[i].Load()
			}
			all[s.label()] = by
		}
	}
	return all
}
