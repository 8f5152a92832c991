package store

import (
	"encoding/json"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// noticed has a set's notices go to a queue.
func noticed(set *rules.Set) *rules.Set {
	set.Edge.Notices = []rules.Destination{{Name: "notices:slack", Kind: "slack", MaxBytes: 1 << 20}}
	return set
}

// notices takes what waits in that queue: its kinds and rules, in order.
func notices(t *testing.T, s *Store) (list []Notice) {
	t.Helper()
	letters := take(t, s, "notices:slack", 100, 1<<20)
	for _, l := range letters {
		var n Notice
		if err := json.Unmarshal(l.Body, &n); err != nil {
			t.Fatal(err)
		}
		list = append(list, n)
	}
	settleLetters(t, s, "notices:slack", letters)
	return list
}

// What a judgement brings is told like what a person does, and a restart has
// it too.
func TestNoticeOfAJudgement(t *testing.T) {
	c := &clock{t: epoch}
	dir, set := t.TempDir(), noticed(loadSite(t))
	s, _ := openWith(t, dir, set, c)
	reach(t, s, set, c, "a", 40, 40, 0)
	if st, _ := s.Standing(ramped); st.Run.Stop == nil {
		t.Fatalf("it goes on: %+v", st.Verdict)
	}
	closed(t, s)
	s, _ = openWith(t, dir, set, c)
	defer closed(t, s)
	if b := s.Backlog("notices:slack"); b.Pending != 1 {
		t.Fatalf("%+v waits", b)
	}
	if list := notices(t, s); list[0].Kind != "rollback" || list[0].Rule != ramped || list[0].Stop.Cause != ByGuardrail {
		t.Errorf("told is %+v", list)
	}
}
