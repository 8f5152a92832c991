package rules

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed14307185/refract/approvals"
)

// An approval file with any bit turned, or cut anywhere, approves only if it says
// what was signed.
func TestDamagedApprovalFile(t *testing.T) {
	for _, raw := range []bool{false, true} {
		dir, _, _ := twoKeys(t)
		edit(t, dir, "refract.yaml", "{count: 2, groups: [legal]}", "1")
		ada := person(t, "ada", raw)
		who := []approver{{id: ada.id, keys: []approvals.Key{ada.key}}}
		st := ada.statement(t, dir, approvedRule)
		st.Until = approvedAt.Add(time.Hour)
		signature := ada.sign(t, st)
		if err := AddApproval(dir, st, signature); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(filepath.Join(dir, "approvals/invite-teammate.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		s := load(t, dir)
		approved := func(data []byte) bool {
			d := &directory{}
			if notText(data) >= 0 {
				return false // directory.read refuses it
			}
			v, ok := d.parse(file{path: "approvals/invite-teammate.yaml", data: data})
			if !ok {
				return false
			}
			return len(claims{s.Rule(approvedRule), s.Rules, who}.read(v)) > 0
		}
		if !approved(good) {
			t.Fatalf("the file approves nothing:\n%s", good)
		}
		wantKey := ada.key.Fingerprint()
		try := func(data []byte) {
			if !approved(data) {
				return
			}
			var entries []struct {
				By, Content, Signature string
				At, Until              time.Time
			}
			if err := yaml.Unmarshal(data, &entries); err != nil || len(entries) != 1 {
				t.Fatalf("it approves, and is no list of one: %v\n%s", err, data)
			}
			e := entries[0]
			got := approvals.Statement{Rule: approvedRule, Content: e.Content, By: e.By, At: e.At.UTC(), Until: e.Until.UTC()}
			sig, err := approvals.ParseSignature(e.Signature)
			if got != st || err != nil || !raw && sig.Fingerprint() != wantKey {
				t.Errorf("it approves, and says something else: %+v, %v\n%s", got, err, data)
			}
		}
		for i := range good {
			try(good[:i])
			for bit := range 8 {
				if testing.Short() && bit != i%8 {
					continue
				}
				bad := bytes.Clone(good)
				bad[i] ^= 1 << bit
				try(bad)
			}
		}
	}
}
