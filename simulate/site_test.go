package simulate_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/seed14307185/refract/rules"
)

// future is the present of tests: nothing in them is later.
var future = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// site loads a site directory from a text archive.
func site(tb testing.TB, archive string) *rules.Set {
	tb.Helper()
	dir := tb.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	set, err := rules.Load(dir)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

const referenceSite = `
-- refract.yaml --
origin: http://127.0.0.1:3000
identity: {account: [cookie:team]}
-- segments/power-users.yaml --
all: [{days: Report Viewed, is: ">= 8", in_last: 14d}]
-- segments/stuck-users.yaml --
all: [{repeats: Error Shown, same: code, times: ">= 3", in_last: 24h}]
-- segments/expansion-ready-accounts.yaml --
who: account
all:
  - {did: Report Exported, times: ">= 20", in_last: 30d}
  - {did_not: Teammate Invited}
-- segments/sleepy-trials.yaml --
all:
  - trait: {plan: trial}
  - {stopped: Session Started, active: 30d, quiet: 7d}
-- segments/teams-stuck-in-setup.yaml --
who: account
all: [{repeats: Setup Error, same: step, times: ">= 4", in_last: 7d, visitors: ">= 2"}]
-- segments/early-price-lookers.yaml --
all:
  - trait: {plan: trial}
  - {did: Pricing Viewed, before: Report Created}
-- segments/trial-admins-without-teammate.yaml --
all:
  - trait: {role: admin, plan: trial}
  - {did: Project Created, without: Teammate Invited, within: 48h}
-- responses/hello.html --
<p>Hello</p>
-- rules/invite.yaml --
segment: trial-admins-without-teammate
surface: card
response: {inner: hello.html}
metric: {event: Teammate Invited, within: 7d, expect: increase}
guardrail: {event: Setup Abandoned, within: 7d, tolerate: 10%}
unit: visitor
rollout: {share: 100%, treatment: 50%}
state: live
-- rules/help.yaml --
segment: teams-stuck-in-setup
surface: help
response: {inner: hello.html}
metric: {event: Project Created, within: 7d, expect: increase}
guardrail: {event: Setup Abandoned, within: 7d, tolerate: 10%}
unit: account
rollout: {share: 100%, treatment: 50%}
state: draft
`
