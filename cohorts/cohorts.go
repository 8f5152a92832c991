// Package cohorts takes memberships of other systems' cohorts: who is in them
// now, as a whole or as differences, in each vendor's own form.
//
// A message is all or nothing: if it can't be taken, the answer says why and
// nothing is stored; if the answer is the vendor's success, all of it is on
// disk. What of a message isn't about membership is left alone, whatever it is,
// and so are members without an id that a visitor could have here. A whole
// membership that comes in pages is seen when the last of them has come, and the
// one before until then. A refusal that a repetition would not change is a 4xx,
// what may pass is a 503.
package cohorts

import (
	"context"
	"time"

	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

// Keeper keeps memberships: a *store.Store. limit is how long after its
// system's last word a cohort is believed, 0: for ever.
type Keeper interface {
	ReplaceCohort(ctx context.Context, name string, limit time.Duration, members []segments.Unit) error
	StagePage(ctx context.Context, name string, limit time.Duration, p store.Page) (complete bool, err error)
	ChangeCohort(ctx context.Context, name string, limit time.Duration, c store.Change) error
}
