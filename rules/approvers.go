package rules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed14307185/refract/approvals"
)

// approver is somebody who may approve.
type approver struct {
	id      string
	keys    []approvals.Key
	groups  []string  // sorted
	until   time.Time // zero: for ever
	revoked bool
}

// approvers reads approvers.yaml. Without that file nobody may approve.
func (d *directory) approvers() []approver {
	if _, err := os.Lstat(filepath.Join(d.root, approversFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	v, ok := d.parse(d.read(approversFile))
	if !ok {
		return nil
	}
	return readApprovers(v)
}

func readApprovers(v value) (all []approver) {
	f, ok := v.fields("a mapping with approvers", "approvers")
	if !ok {
		return nil
	}
	people, ok := f.need("approvers", "approvers: {ada@example.com: {keys: [\"ssh-ed25519 AAAA…\"]}}").open("a mapping of approvers by their ids")
	if !ok {
		return nil
	}
	owners := map[string]string{} // of keys, by fingerprint
	for _, p := range people.pairs {
		id, ok := p.key.word(200)
		if !ok {
			continue
		}
		if at := slices.IndexFunc(all, func(a approver) bool { return strings.EqualFold(a.id, id) }); at >= 0 {
			p.key.refuse("case makes no difference", "%q and %q are the same approver", all[at].id, id)
			continue
		}
		all = append(all, readApprover(id, p.value, owners))
	}
	return all
}

func readApprover(id string, v value, owners map[string]string) approver {
	a := approver{id: id}
	f, ok := v.fields("a mapping with keys", "keys", "groups", "until", "revoked")
	if !ok {
		return a
	}
	lines, _ := f.need("keys", "the lines of their .pub files: keys: [\"ssh-ed25519 AAAA…\"]").some("public keys")
	for _, line := range lines {
		text, ok := line.word(10000)
		if !ok {
			continue
		}
		k, err := approvals.ParseKey(text)
		if err != nil {
			line.refuse("a line of a .pub file of OpenSSH (Ed25519, ECDSA, RSA from 2048 bits, or a security key), or ed25519:BASE64", "%s is not a key that can approve: %v", line.name, err)
			continue
		}
		if owner, listed := owners[k.Fingerprint()]; listed {
			line.refuse("each approver has keys of their own", "the key %s is already that of %s", k.Fingerprint(), owner)
			continue
		}
		owners[k.Fingerprint()] = id
		a.keys = append(a.keys, k)
	}
	groups, _ := f.get("groups").some("names")
	for _, entry := range groups {
		if name, ok := readGroup(entry); ok {
			a.groups = append(a.groups, name)
		}
	}
	slices.Sort(a.groups)
	a.groups = slices.Compact(a.groups)
	until := f.get("until")
	set(&a.until)(parsed(until, "a date such as 2027-03-01", "", parseDate))
	if until.present() && a.until.IsZero() {
		a.revoked = true // refused, or the first day of all
	}
	set(&a.revoked)(f.get("revoked").boolean())
	return a
}

// key returns the approver's key of a fingerprint.
func (a *approver) key(fingerprint string) (approvals.Key, bool) {
	for _, k := range a.keys {
		if k.Fingerprint() == fingerprint {
			return k, true
		}
	}
	return approvals.Key{}, false
}

// find returns the approver of an id, or nil.
func find(all []approver, id string) *approver {
	for i := range all {
		if strings.EqualFold(all[i].id, id) {
			return &all[i]
		}
	}
	return nil
}
