package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/seed14307185/refract/internal/pipes"
	"github.com/seed14307185/refract/rules"
)

// issuer is a server with a key set, in a bubble.
type issuer struct {
	mu     sync.Mutex
	answer http.HandlerFunc // guarded by mu
	began  time.Time
	asked  []time.Duration // when, since the beginning; guarded by mu
	log    strings.Builder // of the verifiers; guarded by mu
}

func (i *issuer) Write(b []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.Write(b)
}

func (i *issuer) logged() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.log.String()
	i.log.Reset()
	return s
}

func (i *issuer) fetches() []time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

func (i *issuer) answers(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

func (i *issuer) has(set []byte, header ...string) {
	i.answers(func(w http.ResponseWriter, _ *http.Request) {
		for n := 0; n < len(header); n += 2 {
			w.Header().Set(header[n], header[n+1])
		}
		_, _ = w.Write(set)
	})
}

// newIssuer runs a server, and verifiers that fetch from it. They are to be used
// by the caller.
func newIssuer(t *testing.T) (*issuer, *Verifiers) {
	t.Helper()
	l := pipes.Listen()
	i := &issuer{began: time.Now()}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		i.asked = append(i.asked, time.Since(i.began))
		answer := i.answer
		i.mu.Unlock()
		answer(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	v := &Verifiers{
		Log:       slog.New(slog.NewTextHandler(i, nil)),
		Transport: &http.Transport{DialContext: l.Dial, DisableKeepAlives: true},
	}
	t.Cleanup(func() {
		v.Close()
		server.Close()
		l.Close()
	})
	return i, v
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

const keysURL = "http://id.example.com/keys"

// now are claims that hold for days from now on.
func now() claims {
	return good().with("iat", time.Now().Unix()).with("nbf", time.Now().Unix()).with("exp", time.Now().Add(1000*time.Hour).Unix())
}

// TestRotation: a token whose key came after the key set was fetched proves
// nothing until the set is there anew, which is soon, and no request waits.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, v := newIssuer(t)
		old, young := newKey(), newKey()
		s := byKeys(keysURL)
		byOld, byYoung := sign(t, jose.ES256, old, "old", now()), sign(t, jose.ES256, young, "young", now())
		asked := make(chan bool)
		i.answers(func(w http.ResponseWriter, _ *http.Request) {
			<-asked
			_, _ = w.Write(jwks(public(old, "old")))
		})
		use(t, v, s)
		id := func(token, want string, reason Reason) {
			t.Helper()
			before := time.Now()
			if got := v.ID(&s, token); got != want || why(v) != reason {
				t.Errorf("the token is of %q, want %q", got, want)
			}
			if took := time.Since(before); took != 0 {
				t.Errorf("a request waited for %s", took)
			}
		}
		id(byOld, "", Key) // the key set is on its way
		close(asked)
		synctest.Wait()
		id(byOld, "ann", "")
		id(byYoung, "", Key)

		// The key is published before tokens of it come in; the old one stays.
		i.has(jwks(public(old, "old"), public(young, "young")))
		time.Sleep(29 * time.Second)
		synctest.Wait()
		id(byYoung, "", Key) // not within 30 s of the fetch before
		time.Sleep(time.Second)
		synctest.Wait()
		id(byYoung, "ann", "")
		id(byOld, "ann", "")
		if got := i.fetches(); len(got) != 2 || got[1] != 30*time.Second {
			t.Errorf("fetched at %v", got)
		}

		// Ids that nobody has don't make more than two fetches a minute.
		for range 599 {
			time.Sleep(time.Second)
			v.ID(&s, sign(t, jose.ES256, young, rand.Text(), now()))
		}
		synctest.Wait()
		if n := len(i.fetches()); n != 2+19 {
			t.Errorf("%d fetches in almost ten minutes of unknown keys, want 19", n-2)
		}
		why(v)

		// A key that is gone is gone at the next refresh, also for tokens that were
		// verified already.
		i.has(jwks(public(young, "young")))
		time.Sleep(refresh + time.Second)
		synctest.Wait()
		id(byOld, "", Key)
		id(byYoung, "ann", "")
		if log := i.logged(); strings.Count(log, "a key set was fetched") != 3 || strings.Contains(log, "WARN") {
			t.Errorf("log:\n%s", log)
		}
	})
}

// TestRefresh: how often a key set is fetched, by what its server says.
func TestRefresh(t *testing.T) {
	for said, want := range map[string]time.Duration{
		"":                            time.Hour,
		"public, max-age=1800":        30 * time.Minute,
		`Max-Age="600"`:               10 * time.Minute,
		"max-age=0":                   5 * time.Minute,
		"no-store":                    5 * time.Minute,
		"private, no-cache":           5 * time.Minute,
		"max-age=31536000, immutable": 24 * time.Hour,
		"max-age=99999999999999":      time.Hour,
		"max-age=-5":                  time.Hour,
		"s-maxage=60, x":              time.Hour,
	} {
		synctest.Test(t, func(t *testing.T) {
			i, v := newIssuer(t)
			i.has(jwks(public(newKey(), "a")), "Cache-Control", said)
			use(t, v, byKeys(keysURL))
			time.Sleep(2*want + time.Second)
			synctest.Wait()
			if got := i.fetches(); !slices.Equal(got, []time.Duration{0, want, 2 * want}) {
				t.Errorf("%q: fetched at %v, want every %s", said, got, want)
			}
		})
	}
}

// TestFailures: keys that are there are used for as long as others can't be had.
func TestFailures(t *testing.T) {
	key := newKey()
	set := jwks(public(key, "a"))
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"a page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!DOCTYPE html>") },
		"no keys":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"half a set": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(set)
		},
		"a huge set":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(make([]byte, maxKeySet), set...)) },
		"a redirection": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"nothing":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		synctest.Test(t, func(t *testing.T) {
			i, v := newIssuer(t)
			s := byKeys(keysURL + "?code=a-secret")
			token := sign(t, jose.ES256, key, "a", now())
			i.answers(answer)
			use(t, v, s)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if id := v.ID(&s, token); id != "" || why(v) != Key {
				t.Errorf("%s: the token is of %q", name, id)
			}
			fetches := i.fetches()
			if n := len(fetches); n < 24 || n > 32 {
				t.Errorf("%s: %d tries in two hours", name, n)
			}
			if log := i.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "a key set can't be fetched") || !strings.Contains(log, keysURL) || strings.Contains(log, "a-secret") {
				t.Errorf("%s: log:\n%s", name, log)
			}
			i.has(set)
			v.ID(&s, token) // asks
			time.Sleep(41 * time.Second)
			synctest.Wait()
			if id := v.ID(&s, token); id != "ann" {
				t.Errorf("%s: after it the token is of %q", name, id)
			}
			i.answers(answer)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if id := v.ID(&s, token); id != "ann" {
				t.Errorf("%s: with keys of hours ago the token is of %q", name, id)
			}
			if log := i.logged(); strings.Count(log, "INFO") != 1 || strings.Count(log, "WARN") != 1 {
				t.Errorf("%s: log:\n%s", name, log)
			}
		})
	}
}

// TestUse: a key set is fetched for as long as a source needs it, once for all
// that do.
func TestUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, v := newIssuer(t)
		key := newKey()
		i.has(jwks(public(key, "a")))
		s := byKeys(keysURL)
		other := byKeys(keysURL)
		other.Proof.Audience = "another"
		if _, err := v.Prepare(&rules.Identity{Visitor: []rules.IdentitySource{s, other}}); err != nil {
			t.Fatal(err) // what isn't used is not fetched
		}
		time.Sleep(time.Hour)
		if n := len(i.fetches()); n != 0 {
			t.Errorf("%d fetches before the sources are used", n)
		}
		use(t, v, s, other)
		synctest.Wait()
		token := sign(t, jose.ES256, key, "a", now())
		elsewhere := sign(t, jose.ES256, key, "a", now().with("aud", "another"))
		if v.ID(&s, token) != "ann" || v.ID(&other, token) != "" || v.ID(&other, elsewhere) != "ann" || v.ID(&s, elsewhere) != "" {
			t.Error("two sources of one key set are mixed up")
		}
		for range 5 {
			use(t, v, other, s)
		}
		synctest.Wait()
		if n := len(i.fetches()); n != 1 {
			t.Errorf("%d fetches after reloads that change nothing", n)
		}
		use(t, v, other)
		use(t, v)
		time.Sleep(100 * time.Hour)
		if n := len(i.fetches()); n != 1 {
			t.Errorf("%d fetches of a key set that nobody needs", n)
		}
		use(t, v, s)
		synctest.Wait()
		if v.ID(&s, token) != "ann" || len(i.fetches()) != 2 {
			t.Error("a source that is back has no keys")
		}
		v.Close()
		use(t, v, other) // nothing begins after the end
		time.Sleep(100 * time.Hour)
		if n := len(i.fetches()); n != 2 {
			t.Errorf("%d fetches after the end", n-2)
		}
	})
}

// TestAwait: who waits for key sets waits for the first answer, whatever it is,
// and no longer than they want to.
func TestAwait(t *testing.T) {
	for name, c := range map[string]struct {
		sources []rules.IdentitySource
		answer  func(http.ResponseWriter, *http.Request)
		want    time.Duration
	}{
		"nothing to wait for": {[]rules.IdentitySource{bySecret("0123456789abcdef0123456789abcdef")}, nil, 0},
		"an answer":           {[]rules.IdentitySource{byKeys(keysURL)}, func(http.ResponseWriter, *http.Request) { time.Sleep(300 * time.Millisecond) }, 300 * time.Millisecond},
		"no answer":           {[]rules.IdentitySource{byKeys(keysURL)}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			i, v := newIssuer(t)
			i.answers(c.answer)
			use(t, v, c.sources...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if v.Await(ctx); time.Since(began) != c.want {
				t.Errorf("%s: waited for %s, want %s", name, time.Since(began), c.want)
			}
			began = time.Now()
			if v.Await(t.Context()); c.want < time.Second && time.Since(began) != 0 {
				t.Errorf("%s: waited again for %s", name, time.Since(began))
			}
		})
	}
}

// TestConcurrently lets the race detector see requests during reloads and
// refreshes, with this package's own transport.
func TestConcurrently(t *testing.T) {
	key := newKey()
	set := jwks(public(key, "a"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer server.Close()
	s := byKeys(server.URL)
	token := sign(t, jose.ES256, key, "a", now())
	v := &Verifiers{Log: slog.New(slog.DiscardHandler)}
	defer v.Close()
	use(t, v, s)
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for seen := 0; seen < 100; {
				if id := v.ID(&s, token); id == "ann" {
					seen++
				} else if id != "" {
					t.Errorf("the token is of %q", id)
					return
				}
				v.ID(&s, token+"x")
				v.Refused()
			}
		})
	}
	for range 20 {
		use(t, v, s)
		use(t, v, s, bySecret("0123456789abcdef0123456789abcdef"))
	}
	users.Wait()
}
