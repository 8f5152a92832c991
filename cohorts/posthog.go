package cohorts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"

	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

const (
	// pace is the time between two requests in the long run, of which a few may
	// come at once. PostHog allows a team 240 requests for persons a minute and
	// 1200 an hour: this is 900, and leaves some to others.
	pace  = 4 * time.Second
	burst = 10
	// pageSize is how many persons are asked for at once. PostHog may send fewer.
	pageSize = 1000
	// maxPage is the longest answer, in bytes: persons come with their properties.
	maxPage = 64 << 20
	// answerTimeout is how long an answer may take.
	answerTimeout = time.Minute
	// tries is how often a request is made in a row. The pause between them
	// doubles from firstPause on, and is off by half of it at most either way.
	tries      = 8
	firstPause = time.Second
	// longestAsked bounds the pause that PostHog may ask for.
	longestAsked = time.Hour
	// rarely is how long it takes at least, after an answer that a person has to
	// mend, until it is asked for again.
	rarely = time.Hour
	// rounds is how often pages are taken anew if the cohort was calculated anew
	// while they were.
	rounds = 3
	// maxBarren is how many pages in a row may have no id: after each of them
	// there may be said to be another, for ever.
	maxBarren = 100
)

// errRefused is of an answer that won't be another one the next time.
var errRefused = errors.New("refused")

// pull takes the memberships of a project's cohorts. It is for one goroutine.
type pull struct {
	from   PostHog
	keeper PullKeeper
	log    *slog.Logger
	client http.Client
	pace   *rate.Limiter
	pause  time.Time // until when PostHog wants no request
}

// pulled is a cohort that is pulled.
type pulled struct {
	id   int
	name string
	last string // state of what was taken last; empty: take it in any case
	due  time.Time
	// failing is that it could not be taken the last time.
	failing bool
	counts  *pullCounts // are read by others, too
}

// metadata is what is asked of a cohort before its members are.
type metadata struct {
	ID              int     `json:"id"`
	Deleted         bool    `json:"deleted"`
	IsCalculating   bool    `json:"is_calculating"`
	LastCalculation *string `json:"last_calculation"`
	Count           *int    `json:"count"`
	Type            string  `json:"cohort_type"`
}

// state is what changes if the membership has: PostHog has no ETag. Empty: that
// can't be told.
func (m *metadata) state() string {
	if m.Type == "realtime" || m.IsCalculating || m.LastCalculation == nil {
		return ""
	}
	count := -1
	if m.Count != nil {
		count = *m.Count
	}
	return fmt.Sprintf("%s %d", *m.LastCalculation, count)
}

// calculated is when it was.
func (m *metadata) calculated() string {
	if m.LastCalculation == nil {
		return ""
	}
	return *m.LastCalculation
}

// run looks at each cohort in its turn, until ctx ends.
func (p *pull) run(ctx context.Context, list []*pulled) {
	for {
		c := slices.MinFunc(list, func(a, b *pulled) int { return a.due.Compare(b.due) })
		if !wait(ctx, time.Until(c.due)) {
			return
		}
		err := p.take(ctx, c)
		if ctx.Err() != nil {
			return
		}
		c.due = time.Now().Add(p.from.Every)
		if errors.Is(err, errRefused) {
			c.due = time.Now().Add(max(p.from.Every, rarely))
		}
		switch {
		case err != nil && !c.failing:
			p.log.Warn("a cohort can't be pulled: its members stay as they are, for as long as max_age says",
				slog.String("cohort", c.name), slog.String("error", strings.ReplaceAll(err.Error(), "\n", " ")))
		case err == nil && c.failing:
			p.log.Info("a cohort is pulled again", slog.String("cohort", c.name))
		}
		c.failing = err != nil
	}
}

// take makes a cohort's membership what PostHog's is now.
func (p *pull) take(ctx context.Context, c *pulled) error {
	before, err := p.metadata(ctx, c)
	if err != nil {
		return err
	}
	if _, kept := p.keeper.Cohorts()[c.name]; kept && c.last != "" && before.state() == c.last {
		if err := p.keeper.ChangeCohort(ctx, c.name, p.from.MaxAge, store.Change{}); err != nil {
			return err
		}
		c.counts.unchanged.Add(1)
		return nil
	}
	if before.LastCalculation == nil && before.IsCalculating {
		return nil // for the first time: there are no members to be had yet
	}
	for range rounds {
		members, err := p.members(ctx, c)
		if err != nil {
			return err
		}
		after, err := p.metadata(ctx, c)
		if err != nil {
			return err
		}
		if after.calculated() != before.calculated() {
			before = after // and the pages may be of both
			continue
		}
		if err := p.keeper.ReplaceCohort(ctx, c.name, p.from.MaxAge, members); err != nil {
			return err
		}
		c.last = before.state()
		c.counts.replaced.Add(1)
		return nil
	}
	return errors.New("it is calculated anew faster than it can be read")
}

// path is that of a cohort, as PostHog has it.
func (p *pull) path(c *pulled, more string) *url.URL {
	return p.from.Host.JoinPath("api/projects", url.PathEscape(p.from.Project), "cohorts", strconv.Itoa(c.id), more+"/")
}

func (p *pull) metadata(ctx context.Context, c *pulled) (*metadata, error) {
	var m metadata
	if err := p.get(ctx, c, p.path(c, ""), func(d *json.Decoder) error {
		m = metadata{}
		if err := d.Decode(&m); err != nil {
			return err
		}
		if m.ID != c.id {
			return errors.New("the answer is no cohort")
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if m.Deleted {
		return nil, fmt.Errorf("%w: the cohort was deleted", errRefused)
	}
	return &m, nil
}

// members reads all pages. Every id that PostHog knows a person by is a member.
func (p *pull) members(ctx context.Context, c *pulled) ([]segments.Unit, error) {
	at := p.path(c, "persons")
	at.RawQuery = url.Values{"format": {"json"}, "limit": {strconv.Itoa(pageSize)}}.Encode()
	var members []segments.Unit
	barren := 0
	for seen := map[string]bool{}; at != nil; {
		if seen[at.String()] {
			return nil, fmt.Errorf("the page after %s is one before it", at)
		}
		seen[at.String()] = true
		var page struct {
			Next    *string
			Results *[]struct {
				DistinctIDs []string `json:"distinct_ids"`
			}
		}
		if err := p.get(ctx, c, at, func(d *json.Decoder) error {
			page.Next, page.Results = nil, nil
			if err := d.Decode(&page); err != nil {
				return err
			}
			if page.Results == nil {
				return errors.New("the answer has no persons")
			}
			return nil
		}); err != nil {
			return nil, err
		}
		before := len(members)
		for _, person := range *page.Results {
			for _, id := range person.DistinctIDs {
				if id != "" && len(id) <= events.MaxID && plain(id) { // else nobody comes by it
					members = append(members, segments.Unit{Who: segments.Visitor, ID: id})
				}
			}
		}
		if len(members) > MaxMembers {
			return nil, fmt.Errorf("%w: it has more than %d ids", errRefused, MaxMembers)
		}
		if barren++; len(members) > before {
			barren = 0
		}
		if barren > maxBarren {
			return nil, fmt.Errorf("more than %d pages in a row have no ids", maxBarren)
		}
		next, err := p.after(at, page.Next)
		if err != nil {
			return nil, err
		}
		at = next
	}
	return members, nil
}

// after is where the next page is; nil: there is none. The key goes to no other
// host. Behind a proxy that ends TLS, PostHog may say http.
func (p *pull) after(at *url.URL, next *string) (*url.URL, error) {
	if next == nil || *next == "" {
		return nil, nil
	}
	u, err := at.Parse(*next)
	if err != nil {
		return nil, fmt.Errorf("the next page: %w", err)
	}
	if u.Host != p.from.Host.Host {
		return nil, fmt.Errorf("%w: the next page is on another host, %s\nhint: is posthog.host the one that PostHog calls itself?", errRefused, u.Host)
	}
	u.Scheme, u.Fragment = p.from.Host.Scheme, ""
	return u, nil
}

// get asks for what read decodes, until it has it, or tries are used up.
func (p *pull) get(ctx context.Context, c *pulled, u *url.URL, read func(*json.Decoder) error) error {
	interval := &backoff.ExponentialBackOff{InitialInterval: firstPause, MaxInterval: rarely, Multiplier: 2, RandomizationFactor: 0.5}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := p.try(ctx, u, read)
		if err != nil && ctx.Err() == nil {
			c.counts.failed.Add(1)
		}
		if errors.Is(err, errRefused) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(interval), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
	return err
}

func (p *pull) try(ctx context.Context, u *url.URL, read func(*json.Decoder) error) error {
	if !wait(ctx, time.Until(p.pause)) {
		return context.Cause(ctx)
	}
	if err := p.pace.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.from.Key)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "refract")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return read(json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxPage)))
	}
	asked := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	p.pause = time.Now().Add(min(asked, longestAsked))
	return refusal(resp, p.from.Key)
}

// retryAfter reads RFC 9110, 10.2.3.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return at.Sub(now)
	}
	return 0
}

// refusal is the error of an answer other than 200. It is for the log, which the
// key is not for, should the answer repeat that.
func refusal(resp *http.Response, key string) error {
	const most = 200
	less := func(said string) string { return strings.ReplaceAll(said, key, "(the key)") }
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // as far as it can be had
	said := less(string(body))                               // before it is cut, or a part of the key would stay
	text := strings.Join(strings.Fields(strings.ToValidUTF8(said[:min(len(said), most)], "")), " ")
	err := errors.New(strings.TrimSpace(resp.Status + " " + text))
	switch s := resp.StatusCode; {
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return err
	case s >= 300 && s < 400:
		return fmt.Errorf("%w: %w\nhint: posthog.host is another: %s", errRefused, err, less(resp.Header.Get("Location")))
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return fmt.Errorf("%w: %w\nhint: is the key a personal one of this host, and has it the scopes cohort:read and person:read?", errRefused, err)
	case s == http.StatusNotFound:
		return fmt.Errorf("%w: %w\nhint: has the project such a cohort?", errRefused, err)
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// wait waits and reports whether to go on.
func wait(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
