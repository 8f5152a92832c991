package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed14307185/refract/demo/planner"
)

// userAgent says what the visitors are in every log that they appear in.
const userAgent = "RefractDemo/1 (simulated visitor)"

// maxPage is how much of a page a visitor reads, in bytes.
const maxPage = 1 << 20

// visitor is one simulated person with a browser. After a request failed, or
// ctx ended, all its methods do nothing, so that a story needs no error
// handling of its own. It is not safe for concurrent use.
type visitor struct {
	ctx        context.Context // a visitor lives no longer than the run
	crowd      *crowd
	dice       *rand.Rand // all the visitor's choices
	user, team string
	messages   int   // sent to the Segment mount so far
	err        error // the first failure; never reset
}

// page is what a visitor got for a request.
type page struct {
	status   int
	location string // where it redirects to
	body     string
}

// colleague returns another person of the same team.
func (p *visitor) colleague() *visitor {
	c := *p
	c.user += "-b"
	c.messages = 0
	c.dice = rand.New(rand.NewPCG(p.dice.Uint64(), 0))
	return &c
}

// wait lets between from and to of simulated time pass.
func (p *visitor) wait(from, to time.Duration) {
	d := from + time.Duration(p.dice.Float64()*float64(to-from))
	if p.err == nil && !p.crowd.sleep(p.ctx, d) {
		p.err = context.Cause(p.ctx)
	}
}

// likely throws the dice: it is true with the probability given.
func (p *visitor) likely(probability float64) bool { return p.dice.Float64() < probability }

// moved says whether the visitor does what a story is about: with one
// probability if the page offers the link, with another if it does not.
func (p *visitor) moved(by page, link string, offered, otherwise float64) bool {
	if !strings.Contains(by.body, `href="`+link+`"`) {
		return p.likely(otherwise)
	}
	p.crowd.changed.Add(1)
	return p.likely(offered)
}

// identify does what the app's analytics SDK would: it tells who the visitor
// is and which account they belong to.
func (p *visitor) identify(plan, role string) {
	p.messages += 2
	body, err := json.Marshal(map[string]any{"batch": []any{
		map[string]any{
			"type": "identify", "userId": p.user, "messageId": fmt.Sprintf("%s-%d", p.user, p.messages-1),
			"traits": map[string]any{"plan": plan, "role": role},
		},
		map[string]any{
			"type": "group", "userId": p.user, "messageId": fmt.Sprintf("%s-%d", p.user, p.messages),
			"groupId": p.team, "traits": map[string]any{"plan": plan},
		},
	}})
	if err != nil && p.err == nil {
		p.err = err
	}
	p.do("POST", "/_refract/ingest/segment/v1/batch", "application/json", body)
}

func (p *visitor) get(path string) page { return p.do("GET", path, "", nil) }

// post submits a form of the fields given, name by name and value by value.
func (p *visitor) post(path string, fields ...string) page {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return p.do("POST", path, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

func (p *visitor) do(method, path, contentType string, body []byte) page {
	if p.err != nil {
		return page{}
	}
	select {
	case p.crowd.flight <- struct{}{}:
	case <-p.ctx.Done():
		p.err = context.Cause(p.ctx)
		return page{}
	}
	defer func() { <-p.crowd.flight }()
	p.crowd.requests.Add(1)
	got, err := p.exchange(method, path, contentType, body)
	if err != nil {
		p.err = fmt.Errorf("%s %s: %w", method, path, err)
	}
	return got
}

func (p *visitor) exchange(method, path, contentType string, body []byte) (page, error) {
	req, err := http.NewRequestWithContext(p.ctx, method, p.crowd.edge+path, bytes.NewReader(body))
	if err != nil {
		return page{}, err
	}
	req.Header.Set("User-Agent", userAgent)
	if contentType == "application/json" {
		req.SetBasicAuth(p.crowd.key, "")
	} else {
		req.Header.Set("Accept", "text/html")
		req.AddCookie(&http.Cookie{Name: planner.UserCookie, Value: p.user})
		req.AddCookie(&http.Cookie{Name: planner.TeamCookie, Value: p.team})
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := p.crowd.client.Do(req)
	if err != nil {
		return page{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		return page{}, err
	}
	// What the app refuses on purpose (a form not filled in well) is part of
	// a story; that it does not know the page, or the edge fails, is not.
	switch s := res.StatusCode; {
	case s >= 500, s >= 400 && s != http.StatusUnprocessableEntity:
		return page{}, fmt.Errorf("answered %s", res.Status)
	}
	return page{res.StatusCode, res.Header.Get("Location"), string(read)}, nil
}
