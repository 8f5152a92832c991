package outbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed14307185/refract/rules"
)

// letter is a request with this body, from an address.
func letter(from, body string) []byte {
	return fmt.Appendf(nil, "POST /v1/track HTTP/1.1\r\nHost: vendor\r\nContent-Length: %d\r\nX-Forwarded-For: %s\r\n\r\n%s", len(body), from, body)
}

func (p *pile) putLetters(from string, bodies ...string) {
	for _, b := range bodies {
		p.putBody(letter(from, b), at)
	}
}

// TestTeeSendsWhatCame: method, path, query, fields and body are the letter's,
// and nothing is put to them.
func TestTeeSendsWhatCame(t *testing.T) {
	v := newReceiver(t, nil)
	zipped := "\x1f\x8b\x08\x00\r\n\r\n\x00\xff"
	p := newPile()
	p.putBody([]byte("POST /e%2Fe/?ip=1&_=%20;b HTTP/1.1\r\nHost: vendor\r\nUser-Agent: analytics-go (version: 3)\r\nContent-Length: 10\r\n"+
		"Authorization: Basic a2V5Og==\r\nContent-Type: text/plain\r\nX-Braze-Bulk: true\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"+zipped), at)
	p.putBody([]byte("GET /track?data=e30%3D HTTP/1.1\r\nHost: vendor\r\n\r\n"), at)
	c := tell(t, rules.Destination{Kind: rules.Tee + "segment", URL: v.URL + "/prefix"}, p)
	got := v.requests()
	slices.SortFunc(got, func(a, b request) int { return strings.Compare(b.method, a.method) })
	if len(got) != 2 || c.Sent != 2 {
		t.Fatalf("%d requests, %d sent", len(got), c.Sent)
	}
	post, get := got[0], got[1]
	if post.method != "POST" || post.path != "/prefix/e/e/" || post.query != "ip=1&_=%20;b" || string(post.body) != zipped {
		t.Errorf("%+v", post)
	}
	post.header.Del("Accept-Encoding") // the transport's own
	if want := (http.Header{
		"Authorization": {"Basic a2V5Og=="}, "Content-Length": {"10"}, "Content-Type": {"text/plain"},
		"User-Agent": {"analytics-go (version: 3)"}, "X-Braze-Bulk": {"true"}, "X-Forwarded-For": {"203.0.113.7"},
	}); !reflect.DeepEqual(post.header, want) {
		t.Errorf("%v\nwant %v", post.header, want)
	}
	get.header.Del("Accept-Encoding")
	if get.method != "GET" || get.path != "/prefix/track" || get.query != "data=e30%3D" || len(get.body) != 0 || len(get.header) != 0 {
		t.Errorf("%+v", get)
	}
}

// TestTeeAnswers is what becomes of the letters a, b, … of one sender, where the
// vendor says so of each try.
func TestTeeAnswers(t *testing.T) {
	refused := map[Reason]uint64{Refused: 1}
	for _, test := range []struct {
		name, vendor, letters string
		answers               string // letter and status of each try that is no 200, with the answer's body after a colon
		tries                 string
		sent                  uint64
		dropped               map[Reason]uint64
	}{
		{"taken", "segment", "abc", "", "abc", 3, nil},
		{"a bad one", "segment", "abc", "b400", "abc", 2, refused},
		{"a bad one alone", "rudderstack", "a", "a422", "a", 0, refused},
		{"of another media type", "segment", "ab", "a415", "ab", 1, refused},
		{"too large", "braze", "ab", "a413", "ab", 1, map[Reason]uint64{TooLarge: 1}},
		{"one that may not", "mixpanel", "ab", "a403 a403", "aba", 1, refused},
		{"one that might not", "mixpanel", "ab", "a403", "aba", 2, nil},
		{"a path that is gone", "posthog", "abc", "b404 b404", "abcb", 2, refused},
		{"bad beside a wrong key", "segment", "ab", "a401 b400 a401 b400 a401 b400", "abababab", 2, nil},
		{"mixpanel's refusal", "mixpanel", "ab", "a200:0", "ab", 1, refused},
		{"mixpanel's refusal in words", "mixpanel", "ab", `a200:{"status":0,"error":"x"}`, "ab", 1, refused},
		{"mixpanel's success", "mixpanel", "ab", `a200:1 b200:{"status":1}`, "ab", 2, nil},
		{"posthog's quota", "posthog", "a", `a200:{"quota_limited":["events"]}`, "a", 0, map[Reason]uint64{Quota: 1}},
		{"amplitude's refusal", "amplitude", "ab", `a400:{"code":400,"error":"x"}`, "ab", 1, refused},
		{"amplitude's key", "amplitude", "ab", `a400:{"code":400,"error":"Invalid_API_key:api_key"} b400:{"error":"api_key"}`, "abab", 2, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := strings.Fields(test.answers)
				var tries strings.Builder
				p := newPile()
				p.putLetters("203.0.113.7", strings.Split(test.letters, "")...)
				o, _ := timedTo(t, rules.Destination{Kind: rules.Tee + test.vendor}, p, func(w http.ResponseWriter, r *http.Request) {
					b, _ := io.ReadAll(r.Body)
					tries.Write(b)
					if i := slices.IndexFunc(answers, func(a string) bool { return a[:1] == string(b) }); i >= 0 {
						status, body, _ := strings.Cut(answers[i][1:], ":")
						answers = slices.Delete(answers, i, i+1)
						var code int
						fmt.Sscan(status, &code)
						w.WriteHeader(code)
						_, _ = io.WriteString(w, body)
					}
				})
				<-p.empty
				synctest.Wait()
				if c := o.Counts()["it"]; tries.String() != test.tries || c.Sent != test.sent || !reflect.DeepEqual(c.droppedAtAll(), orNone(test.dropped)) {
					t.Errorf("tried %s, sent %d, dropped %v; want %s, %d, %v", tries.String(), c.Sent, c.droppedAtAll(), test.tries, test.sent, test.dropped)
				}
			})
		})
	}
}

func orNone(m map[Reason]uint64) map[Reason]uint64 {
	if m == nil {
		return map[Reason]uint64{}
	}
	return m
}

// TestTeeWaitsForAPerson: while nothing is taken for the key's or the address's
// sake, nothing is dropped; once that is mended, all of it arrives, in order.
func TestTeeWaitsForAPerson(t *testing.T) {
	for _, status := range []int{301, 401, 402, 403, 404, 405, 407, 410} {
		synctest.Test(t, func(t *testing.T) {
			p := newPile()
			var want []string
			for i := range 200 {
				want = append(want, fmt.Sprint("letter ", i))
			}
			p.putLetters("203.0.113.7", want...)
			var mu sync.Mutex
			wrong, got := true, []string(nil)
			o, _ := timedTo(t, rules.Destination{Kind: rules.Tee + "segment"}, p, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if wrong {
					w.WriteHeader(status)
					return
				}
				b, _ := io.ReadAll(r.Body)
				got = append(got, string(b))
			})
			time.Sleep(time.Hour)
			if b := p.Backlog("it"); b.Pending != len(want) {
				t.Errorf("%d: %d letters wait, want all", status, b.Pending)
			}
			mu.Lock()
			wrong = false
			mu.Unlock()
			<-p.empty
			synctest.Wait() // for its being counted
			if c := o.Counts()["it"]; c.Sent != 200 || len(c.droppedAtAll()) > 0 || !slices.Equal(got, want) {
				t.Errorf("%d: sent %d, dropped %v: %q", status, c.Sent, c.droppedAtAll(), got)
			}
		})
	}
}

// TestTeeThroughTrouble: a vendor that refuses connections, answers with errors,
// hangs and breaks off, in any order, gets each letter at least once, and those
// of a sender in order.
func TestTeeThroughTrouble(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			p := newPile()
			sent := map[string][]string{}
			for i := range 150 {
				from := fmt.Sprint("198.51.100.", rnd.IntN(12))
				body := fmt.Sprintf("%s %d", from, i)
				sent[from] = append(sent[from], body)
				p.putLetters(from, body)
			}
			var mu sync.Mutex
			got, tries := map[string][]string{}, 0
			o, _ := timedTo(t, rules.Destination{Kind: rules.Tee + "segment"}, p, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				from, _, _ := strings.Cut(string(b), " ")
				mu.Lock()
				tries++
				status := []int{408, 425, 429, 500, 502, 503, 504}[tries%7]
				trouble := rnd.IntN(10)
				if trouble > 2 && !slices.Contains(got[from], string(b)) {
					got[from] = append(got[from], string(b)) // a repetition is what was there already
				}
				mu.Unlock()
				switch trouble {
				case 0:
					w.Header().Set("Retry-After", "7")
					w.WriteHeader(status)
				case 1:
					<-r.Context().Done()
				case 2, 3: // of these one had it
					panic(http.ErrAbortHandler)
				}
			})
			<-p.empty
			synctest.Wait() // for its being counted
			if c := o.Counts()["it"]; c.Sent != 150 || len(c.droppedAtAll()) > 0 || c.Failed == 0 {
				t.Errorf("seed %d: sent %d, dropped %v, failed %d", seed, c.Sent, c.droppedAtAll(), c.Failed)
			}
			if !reflect.DeepEqual(got, sent) {
				t.Errorf("seed %d: %v\nwant %v", seed, got, sent)
			}
			if tries > 150*3 {
				t.Errorf("seed %d: %d tries of 150 letters", seed, tries)
			}
		})
	}
}

// TestTeeSendsSeveralAtOnce: a slow sender's letters do not hold up the others'.
func TestTeeSendsSeveralAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPile()
		for i := range 64 {
			p.putLetters(fmt.Sprint("198.51.100.", i), "x")
		}
		began := time.Now()
		timedTo(t, rules.Destination{Kind: rules.Tee + "segment"}, p, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
		<-p.empty
		if took := time.Since(began); took != 64/lanes*time.Second {
			t.Errorf("64 letters took %s", took)
		}
	})
}

// TestTeeCloses: of a queue that is being sent, the request that is under way is
// answered, and what waits behind it is not begun.
func TestTeeCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPile()
		p.putLetters("203.0.113.7", "a", "b", "c")
		o, tries := timedTo(t, rules.Destination{Kind: rules.Tee + "segment"}, p, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		o.Close(ctx)
		if took, left := time.Since(began), p.Backlog("it").Pending; took != time.Second || left != 2 || len(tries()) != 1 {
			t.Errorf("closing took %s, after %d requests, and %d letters are left", took, len(tries()), left)
		}
	})
}

// TestDroppedIsLogged: once in a while, with what the vendor said.
func TestDroppedIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPile()
		o, _ := timedTo(t, rules.Destination{Kind: rules.Tee + "segment", Key: "a-secret-key"}, p, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "no such thing for a-secret-key, "+base64.StdEncoding.EncodeToString([]byte("a-secret-key:"))+strings.Repeat("-", 125)+"a-secret-key")
		})
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil)) // before anything is sent
		for range 5 {
			p.putLetters("203.0.113.7", "a", "b")
			<-p.empty
		}
		time.Sleep(complain)
		p.putLetters("203.0.113.7", "a")
		<-p.empty
		synctest.Wait()
		if n := strings.Count(log.String(), "no such thing"); n != 2 || strings.Count(log.String(), "\n") != 2 || strings.Contains(log.String(), "a-secret") || strings.Contains(log.String(), "YS1zZWNyZXQt") {
			t.Errorf("%s", log.String())
		}
		if c := o.Counts()["it"]; c.Dropped[Refused] != 11 {
			t.Errorf("%v", c.droppedAtAll())
		}
	})
}
