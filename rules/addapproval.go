package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed14307185/refract/approvals"
)

// Approver is who has a key.
type Approver struct {
	ID     string
	Key    approvals.Key // as it is listed
	Groups []string
}

// Approvers lists the keys of a site directory's approvers.yaml that may sign
// now: one entry for each. Its error, if the file could be read, is Problems.
func Approvers(dir string, now time.Time) ([]Approver, error) {
	d := &directory{root: dir}
	all := d.approvers()
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	var list []Approver
	for _, a := range all {
		for _, k := range a.keys {
			if !a.revoked && (a.until.IsZero() || now.Before(a.until)) {
				list = append(list, Approver{a.id, k, a.groups})
			}
		}
	}
	return list, nil
}

// AddApproval puts an approval into approvals/RULE.yaml of a site directory, in
// the place of those that the approver gave before. The file is replaced in one
// step. Whether the approval counts is for the next Load to say.
func AddApproval(dir string, st approvals.Statement, signature string) error {
	name := filepath.Join(dir, approvalsDir, st.Rule+".yaml")
	list, err := approvalsBut(name, st.By)
	if err != nil {
		return err
	}
	entry := &yaml.Node{Kind: yaml.MappingNode}
	put := func(key, value string, style yaml.Style) {
		entry.Content = append(entry.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key},
			&yaml.Node{Kind: yaml.ScalarNode, Value: value, Style: style})
	}
	put("by", st.By, 0)
	put("content", st.Content, 0)
	put("at", st.At.UTC().Format(time.RFC3339), 0)
	if !st.Until.IsZero() {
		put("until", st.Until.UTC().Format(time.RFC3339), 0)
	}
	put("signature", signature, yaml.LiteralStyle)
	list.Content, list.Style = append(list.Content, entry), 0
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(list); err != nil {
		return err
	}
	return replace(name, b.Bytes())
}

// approvalsBut returns the list of a file of approvals/, empty if it isn't there,
// without those by one approver.
func approvalsBut(name, by string) (*yaml.Node, error) {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	data, err := readRegular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return list, nil
	} else if err != nil {
		return nil, err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil || len(root.Content) > 0 && root.Content[0].Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s is damaged: it is not a list of approvals\nhint: restore it, or remove it and have the rule approved anew", name)
	}
	if len(root.Content) == 0 {
		return list, nil
	}
	for _, entry := range root.Content[0].Content {
		var a struct{ By string }
		if err := entry.Decode(&a); err != nil || a.By != by {
			list.Content = append(list.Content, entry)
		}
	}
	return list, nil
}

// unfinished begins the name of a file of approvals/ until it is whole.
const unfinished = ".approval-"

// abandoned is how long before this one a writer must have begun to be taken for
// killed: writing takes milliseconds.
const abandoned = time.Hour

// replace writes a file anew in one step: others see the old one or the new one.
// It makes the directory if that isn't there.
func replace(name string, data []byte) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	removeAbandoned(dir, name)
	return nil
}

// removeAbandoned removes what killed writers left beside a file that was just
// written: its time tells theirs, without a clock. What can't be removed stays:
// nobody reads it.
func removeAbandoned(dir, name string) {
	written, err := os.Stat(name)
	if err != nil {
		return
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), unfinished) {
			continue
		}
		if info, err := e.Info(); err == nil && written.ModTime().Sub(info.ModTime()) > abandoned {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
