package store

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed14307185/refract/rules"
)

// Site is what a revision was: what its rules said, and the files that it was
// read from. It is written with the load that made it live, under its hash, and
// kept for good.
type Site struct {
	Revision string            `json:"revision"`
	Off      bool              `json:"off,omitempty"` // every rule, by refract.yaml
	Rules    []SiteRule        `json:"rules"`         // by name
	Files    map[string]string `json:"files"`         // by the path in the site directory
}

// SiteRule is a rule as its files had it.
type SiteRule struct {
	Name     string      `json:"name"`
	Version  string      `json:"version"`
	Sentence string      `json:"sentence"`
	State    rules.State `json:"state"`
	Expires  time.Time   `json:"expires,omitzero"`
	// Unapproved says that it lacked approvals when it was loaded, and Until when
	// it ended by itself: at Expires, or because approvals ran out before.
	Unapproved bool      `json:"unapproved,omitempty"`
	Until      time.Time `json:"until,omitzero"`
}

// ErrNoSite is returned for a load of which nothing was kept: that of an earlier
// release.
var ErrNoSite = errors.New("the files of this revision were not kept")

func siteKey(hash string) []byte { return append([]byte{keySite}, hash...) }

// keepSite keeps what a set was read from, and returns its hash.
func (w *writer) keepSite(set *rules.Set) (hash string, err error) {
	is := Site{Revision: set.Revision, Off: set.Edge.Off, Rules: []SiteRule{}, Files: map[string]string{}}
	for _, r := range set.Rules {
		is.Rules = append(is.Rules, SiteRule{
			Name: r.Name, Version: r.Version, Sentence: r.Sentence(), State: r.State, Expires: r.Expires,
			Unapproved: !r.Approved(w.s.opts.Now()), Until: r.Until(),
		})
	}
	for name, data := range set.Files {
		is.Files[name] = string(data)
	}
	b, err := json.Marshal(is)
	if err != nil {
		return "", w.broken(err)
	}
	sum := sha256.Sum256(b)
	hash = hex.EncodeToString(sum[:])
	if known, err := w.s.get(siteKey(hash)); err != nil || known != nil {
		return hash, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err = z.Write(b); err == nil {
		err = z.Close()
	}
	if err != nil {
		return "", w.broken(err)
	}
	return hash, w.g.batch.Set(siteKey(hash), packed.Bytes(), nil)
}

// Site returns what a load, an entry of the ledger, made live.
func (s *Store) Site(load *Entry) (*Site, error) {
	if err := s.readable(); err != nil {
		return nil, err
	}
	packed, err := s.get(siteKey(load.Site))
	if err != nil {
		return nil, err
	}
	if load.Site == "" || packed == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoSite, load.Revision)
	}
	var b bytes.Buffer
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		_, err = b.ReadFrom(z)
	}
	if sum := sha256.Sum256(b.Bytes()); err != nil || hex.EncodeToString(sum[:]) != load.Site {
		return nil, fmt.Errorf("the files of revision %s are not those that were live: the store was changed, or is damaged", load.Revision)
	}
	is := new(Site)
	if err := json.Unmarshal(b.Bytes(), is); err != nil {
		return nil, fmt.Errorf("the files of revision %s: %w", load.Revision, err)
	}
	return is, nil
}
