package approvals

import (
	"fmt"
	"strings"
	"time"
)

// Namespace is that of the SSH signatures: the -n of ssh-keygen.
const Namespace = "refract-approval"

// header is the first line of every statement. The number changes with the
// meaning of what follows.
const header = "refract approval 1"

// Statement is what an approver signs.
type Statement struct {
	Rule    string
	Content string    // "sha256:" and 64 hex digits
	By      string    // the approver's id
	At      time.Time // as the signer says, to the second
	Until   time.Time // to the second; zero: it doesn't end
}

// Text returns the statement as it is signed: the header and five lines of
// "key: value", each ended by a newline, times in RFC 3339 and UTC. The texts of
// the statement must be lines.
func (s Statement) Text() string {
	until := "never"
	if !s.Until.IsZero() {
		until = stamp(s.Until)
	}
	return fmt.Sprintf("%s\nrule: %s\ncontent: %s\nby: %s\nat: %s\nuntil: %s\n", header, s.Rule, s.Content, s.By, stamp(s.At), until)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ParseStatement reads what Text returns, and nothing else.
func ParseStatement(text string) (Statement, error) {
	var s Statement
	lines := strings.Split(text, "\n")
	if len(lines) != 7 || lines[0] != header {
		return s, fmt.Errorf("it is not a statement: it has to begin with %q, and to have 6 lines", header)
	}
	at, until := "", ""
	for i, f := range []struct {
		key string
		to  *string
	}{{"rule: ", &s.Rule}, {"content: ", &s.Content}, {"by: ", &s.By}, {"at: ", &at}, {"until: ", &until}} {
		value, ok := strings.CutPrefix(lines[i+1], f.key)
		if !ok {
			return s, fmt.Errorf("it is not a statement: line %d has to begin with %q", i+2, f.key)
		}
		*f.to = value
	}
	var err error
	if s.At, err = time.Parse(time.RFC3339, at); err != nil {
		return s, fmt.Errorf("it is not a statement: %w", err)
	}
	if until != "never" {
		if s.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return s, fmt.Errorf("it is not a statement: %w", err)
		}
	}
	if s.Text() != text {
		return s, fmt.Errorf("it is not a statement as Refract writes them")
	}
	return s, nil
}
