package cache

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestBounded: what is kept has a size, and what was not used goes first.
func TestBounded(t *testing.T) {
	const limit = 100_000
	a := start(t, limit, func(w http.ResponseWriter, r *http.Request) {
		n := 1 + len(r.URL.Path)*701%15_000
		served(strings.Repeat("x", n), `"`+r.URL.Path+`"`)(w, r)
	})
	for i := range 200 {
		target := "/" + strings.Repeat("a", rand.IntN(60))
		a.get(t, "/often")
		if got := a.get(t, target); got.err != nil || strings.Trim(got.body, "x") != "" {
			t.Fatalf("%v", got.err)
		}
		if s := a.State(); s.Bytes > limit || s.Bytes < 0 || s.Pages < 1 && i > 0 {
			t.Fatalf("%+v", s)
		}
	}
	if got := a.get(t, "/often"); got.asked == "" {
		t.Error("a page that is used all the time is not kept")
	}
	a.now(served(strings.Repeat("x", limit/share+1), `"big"`))
	a.get(t, "/big")
	if got := a.get(t, "/big"); got.asked != "" {
		t.Error("a page is kept that is too large")
	}
	a.Use(limit) // a reload
	if s := a.State(); s.Pages != 0 || s.Bytes != 0 {
		t.Errorf("after a reload: %+v", s)
	}
	a.now(served(long, `"1"`))
	a.get(t, "/")
	a.Use(0)
	for range 2 {
		if got := a.get(t, "/"); got.asked != "" || got.body != long {
			t.Errorf("turned off, asked with %q", got.asked)
		}
	}
}

// TestAlwaysAnother: pages that are others each time are soon left alone.
func TestAlwaysAnother(t *testing.T) {
	n := 0
	a := start(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
		n++
		served(fmt.Sprint(long, n), fmt.Sprintf(`"%d"`, n))(w, r)
	})
	conditions := 0
	for i := range 200 {
		got := a.get(t, "/")
		if got.body != fmt.Sprint(long, i+1) {
			t.Fatalf("%q", got.body)
		}
		if got.asked != "" {
			conditions++
		}
	}
	if conditions == 0 || conditions > 10 {
		t.Errorf("asked with a condition %d times of 200", conditions)
	}
}

// TestReloadMeanwhile: what was asked before a reload is not kept after it.
func TestReloadMeanwhile(t *testing.T) {
	a := start(t, 1<<20, served(long, `"1"`))
	r, _ := http.NewRequest(http.MethodGet, a.base, nil)
	resp, err := a.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	a.Use(1 << 20)
	if b, err := io.ReadAll(resp.Body); string(b) != long || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	_ = resp.Body.Close()
	if s := a.State(); s.Pages != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTogether has many visitors ask while pages change: everyone gets a page
// that was current while they asked.
func TestTogether(t *testing.T) {
	var mu sync.Mutex
	version := 0
	a := start(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if rand.IntN(10) == 0 {
			version++
		}
		v := version
		mu.Unlock()
		served(fmt.Sprintf("%08d%s", v, long), fmt.Sprintf(`"%d"`, v))(w, r)
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				mu.Lock()
				before := version
				mu.Unlock()
				got := a.get(t, "/")
				mu.Lock()
				after := version
				mu.Unlock()
				var v int
				if _, err := fmt.Sscanf(got.body, "%08d", &v); err != nil || v < before || v > after || got.Header.Get("Etag") != fmt.Sprintf(`"%d"`, v) {
					t.Errorf("version %d with the tag %s, between %d and %d: %v", v, got.Header.Get("Etag"), before, after, err)
				}
			}
		})
	}
	wg.Wait()
}
