// Package console is the operator's side: the admin API and the console's
// page, on a listener of their own.
package console

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/seed14307185/refract/cohorts"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// Console serves the admin API. Set the fields, all required, then use Handler.
type Console struct {
	Store  *store.Store
	Loaded func() *rules.Set // the last good load, with what is stopped
	Live   func() *rules.Set // what requests are served under
	Checks []Check           // what readiness depends on
	// Reload loads the site directory, unless expected, if it is not nil, says
	// that the loaded revision is not the one to be replaced: then its error is
	// an OtherRevision.
	Reload   func(ctx context.Context, expected func(revision string) bool) (Reloaded, error)
	Rollback func(ctx context.Context, rule, who, why string) error
	Resume   func(ctx context.Context, rule, who, why string) error
	Proofs   func() []Proof // of control's pages, oldest first
	Drill    func(ctx context.Context, rule, who string) (store.Drill, error)
	Turn     func(off bool, by Change) // treatment off and on, without a rollback
	Switches func() []Switch           // what keeps rules off
	Unseen   func(rule string) bool    // whether a live rule's surface was on no page
	KillFile string                    // whose being there keeps every rule off
	Metrics  http.Handler
	Now      func() time.Time
	// Token returns what must come with every write, as a bearer token; empty:
	// nothing.
	Token func() string
	// Untouched counts pages of the whole site that a rule could touch and that
	// went through untouched since the process started, by reason; nil: unknown.
	Untouched func() map[string]uint64
}

// Check is one condition of being ready for traffic.
type Check struct {
	Name string
	// Look returns something to know about it, or nothing, and why it does not
	// hold, or nil.
	Look func() (detail string, err error)
}

// Failure is the body of every answer that is not a success.
type Failure struct {
	Error    string    `json:"error"`
	Problems []Problem `json:"problems,omitempty"` // of a site directory or an upload that is refused
}

// Problem is one thing wrong with a site directory, or with an upload.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Change is the body of a rollback, a resume, an off or an on: who asks for it,
// and why.
type Change struct {
	Who string `json:"who"`
	Why string `json:"why"`
}

// Proof is a page of control's that was compared with the origin's: SHA-256 of
// what came and of what was sent, without their codings.
type Proof struct {
	At       time.Time `json:"time"`
	Rules    string    `json:"rule"` // separated by commas
	Path     string    `json:"path"`
	Received string    `json:"origin_sha256"`
	Sent     string    `json:"sent_sha256"`
	// Fields are header fields that were changed and must not be, separated by
	// commas.
	Fields string `json:"fields_changed,omitempty"`
}

// Holds says whether what was sent is the origin's.
func (p *Proof) Holds() bool { return p.Received == p.Sent && p.Fields == "" }

// Reloaded is the answer to a reload.
type Reloaded struct {
	Revision string   `json:"revision"` // that is live now
	Before   string   `json:"before"`   // and that was
	Changed  bool     `json:"changed"`
	Warnings []string `json:"warnings"`
	Restart  []string `json:"restart"` // keys whose new values take effect at the next start
}

// OtherRevision says that the live revision is not the one that was to be
// replaced.
type OtherRevision struct{ Revision string }

func (e *OtherRevision) Error() string {
	return "revision " + e.Revision + " is live, which is another than you expect: nothing was changed\nhint: refract status says what is live now"
}

// Switched is the answer to an off or an on.
type Switched struct {
	Off      bool     `json:"off"`
	Switches []Switch `json:"switches"`
}

// LedgerPage is the most entries of the ledger that one answer has.
const LedgerPage = 1000

// maxBody bounds the body of a request, but of an upload.
const maxBody = 64 << 10

// Handler returns the admin listener's handler.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", c.readyz)
	mux.Handle("GET /metrics", c.Metrics)
	mux.HandleFunc("GET /{$}", c.page)
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, _ *http.Request) {
		st := c.status()
		w.Header().Set("ETag", strconv.Quote(st.Revision)) // of what a reload replaces
		reply(w, st)
	})
	mux.HandleFunc("GET /api/rules/{rule}", c.rule)
	mux.HandleFunc("GET /api/rules/{rule}/history", c.runHistory)
	mux.HandleFunc("GET /rules/{rule}", c.rulePage)
	mux.HandleFunc("GET /api/export/{kind}", c.authorise(c.export))      // it has visitors' ids
	mux.HandleFunc("GET /api/interactions", c.authorise(c.interactions)) // it reads every enrolment
	mux.HandleFunc("GET /api/ledger", c.ledger)
	mux.HandleFunc("GET /api/state", c.authorise(c.state)) // the files may hold secrets
	mux.HandleFunc("GET /api/receipts", c.receipts)
	mux.HandleFunc("GET /api/explain", c.explain)
	mux.HandleFunc("GET /api/seen", c.seen)
	mux.HandleFunc("GET /api/control", func(w http.ResponseWriter, _ *http.Request) { reply(w, c.Proofs()) })
	mux.HandleFunc("GET /api/events", c.authorise(c.retained))
	mux.HandleFunc("GET /api/cohorts", c.cohorts)
	mux.HandleFunc("PUT /api/cohorts/{word}/{id}", c.authorise(c.upload)) // of any length
	mux.HandleFunc("DELETE /api/cohorts/{word}/{id}", c.write(c.drop))
	mux.HandleFunc("POST /api/reload", c.write(c.reload))
	mux.HandleFunc("POST /api/off", c.write(c.turn(true)))
	mux.HandleFunc("POST /api/on", c.write(c.turn(false)))
	mux.HandleFunc("POST /api/rules/{rule}/rollback", c.write(c.rollback))
	mux.HandleFunc("POST /api/rules/{rule}/resume", c.write(c.resume))
	mux.HandleFunc("POST /api/rules/{rule}/drill", c.write(c.drill))
	// A page that the operator's browser has open must not speak for them.
	return c.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard refuses names that a foreign page could have rebound to this address.
// Where the token is shown, or the name is an address, there is no such danger.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !c.authorised(r) && host != "localhost" && host != UnixHost && net.ParseIP(strings.Trim(host, "[]")) == nil {
			fail(w, http.StatusForbidden, errors.New("without the token, this listener answers to localhost and to addresses only"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// UnixHost is the host name of requests over a unix socket.
const UnixHost = "refract.sock"

// authorised says whether the request shows the token.
func (c *Console) authorised(r *http.Request) bool {
	shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	token := c.Token()
	return token != "" && subtle.ConstantTimeCompare([]byte(shown), []byte(token)) == 1
}

// write lets through who may change something, with a body of maxBody at most.
func (c *Console) write(next http.HandlerFunc) http.HandlerFunc {
	return c.authorise(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next(w, r)
	})
}

// authorise lets through who may change something.
func (c *Console) authorise(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.Token() != "" && !c.authorised(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, errors.New("a token is needed: Authorization: Bearer TOKEN"))
			return
		}
		next(w, r)
	}
}

func (c *Console) rule(w http.ResponseWriter, r *http.Request) {
	rs, known := c.ruleReport(r.Context(), r.PathValue("rule"))
	if !known {
		fail(w, http.StatusNotFound, store.ErrNoRule)
		return
	}
	reply(w, rs)
}

func (c *Console) ledger(w http.ResponseWriter, r *http.Request) {
	var from uint64
	if q := r.URL.Query().Get("from"); q != "" {
		var err error
		if from, err = strconv.ParseUint(q, 10, 64); err != nil || from == 0 {
			fail(w, http.StatusBadRequest, errors.New("from is the number of an entry, from 1"))
			return
		}
	}
	list, err := c.Store.Ledger(r.Context(), from, LedgerPage)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	reply(w, list)
}

func (c *Console) rollback(w http.ResponseWriter, r *http.Request) {
	c.change(w, r, func(ctx context.Context, rule string, by Change) error {
		return c.Rollback(ctx, rule, by.Who, by.Why)
	})
}

func (c *Console) resume(w http.ResponseWriter, r *http.Request) {
	c.change(w, r, func(ctx context.Context, rule string, by Change) error {
		return c.Resume(ctx, rule, by.Who, by.Why)
	})
}

func (c *Console) change(w http.ResponseWriter, r *http.Request, do func(context.Context, string, Change) error) {
	by, ok := whoAsks(w, r)
	if !ok {
		return
	}
	err := do(r.Context(), r.PathValue("rule"), by)
	switch {
	case errors.Is(err, store.ErrNoRule):
		fail(w, http.StatusNotFound, err)
	case errors.Is(err, store.ErrStopped), errors.Is(err, store.ErrRunning):
		fail(w, http.StatusConflict, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	default:
		c.rule(w, r)
	}
}

// whoAsks reads the body of a change, which may be empty. If it can't, it has
// answered.
func whoAsks(w http.ResponseWriter, r *http.Request) (by Change, ok bool) {
	if r.ContentLength != 0 {
		if err := json.NewDecoder(r.Body).Decode(&by); err != nil {
			fail(w, http.StatusBadRequest, err)
			return by, false
		}
	}
	return by, true
}

// turn turns treatment off or on. What else keeps it off is in the answer.
func (c *Console) turn(off bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		by, ok := whoAsks(w, r)
		if !ok {
			return
		}
		c.Turn(off, by)
		st := c.status()
		reply(w, Switched{st.Off, st.Switches})
	}
}

func reply(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(b, '\n')) // the asker's loss
}

func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	f := Failure{Error: err.Error()}
	var problems rules.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			f.Problems = append(f.Problems, Problem(p))
		}
	}
	var bad *cohorts.LineError
	if errors.As(err, &bad) {
		f.Problems = append(f.Problems, Problem{File: bad.File, Line: bad.Line, Message: bad.What, Hint: bad.Hint})
	}
	_ = json.NewEncoder(w).Encode(f)
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n"))
}
