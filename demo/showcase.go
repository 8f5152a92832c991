package demo

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/seed14307185/refract/demo/planner"
)

// Sighting is what one of the app's sample people sees on their project's
// page.
type Sighting struct {
	Name     string
	URL      string // signs the person in and shows the page, in any browser
	Eligible bool   // a trial admin who invited nobody; the others are in no segment
	Response bool   // whether the page carried the response; else it was the app's own
}

// showcaseWait is how long after creating their projects the people look at
// them: past the 48 hours of trial-admins-without-teammate.
const showcaseWait = 50 * time.Hour

// Showcase lets the app's sample people each create a project, waits until 48
// simulated hours have passed, and looks at what they see then: a page that
// is no longer what it was when nothing has been done to it since carries the
// response. It takes 50 simulated hours.
func (v *Visitors) Showcase(ctx context.Context) ([]Sighting, error) {
	c := v.crowd()
	defer c.client.CloseIdleConnections()
	people := planner.People()
	seen := make([]Sighting, len(people))
	failed := make([]error, len(people))
	var all sync.WaitGroup
	for i, person := range people {
		all.Go(func() {
			p := &visitor{
				ctx: ctx, crowd: c, dice: rand.New(rand.NewPCG(uint64(v.Seed), 0)),
				user: person.ID, team: person.Team,
			}
			p.identify(person.Plan, person.Role)
			path := p.post("/projects", "name", person.Name+"’s first project").location
			before := p.get(path)
			p.wait(showcaseWait, showcaseWait)
			after := p.get(path)
			seen[i] = Sighting{
				Name:     person.Name,
				URL:      v.Edge + "/login?" + url.Values{"as": {person.ID}, "next": {path}}.Encode(),
				Eligible: person.Plan == "trial" && person.Role == "admin",
				Response: after.body != before.body,
			}
			failed[i] = p.err
		})
	}
	all.Wait()
	return seen, errors.Join(failed...)
}
