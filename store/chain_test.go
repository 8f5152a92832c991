package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// verify checks lines from the first, and that they end with head, if that is
// known.
func verify(lines []json.RawMessage, head string) error {
	var c Chain
	for _, line := range lines {
		if _, err := c.Add(line); err != nil {
			return err
		}
	}
	if _, is := c.Head(); head != "" && is != head {
		return fmt.Errorf("it ends with %s", is)
	}
	return nil
}

// TestLedgerIsAChain: whatever is done to the lines of a ledger is found by the
// lines after it, and at the end by its head.
func TestLedgerIsAChain(t *testing.T) {
	c := &clock{t: epoch}
	dir := t.TempDir()
	ctx := context.Background()
	for i := range 3 { // three processes
		s := open(t, dir, c, nil)
		if err := s.Note(ctx, Entry{Kind: "off", Who: "ann", Why: fmt.Sprintf("<b>%d & \u2028 é", i)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Rollback(ctx, "invite-teammate", ByPerson, "ann", "a test"); err != nil {
			t.Fatal(err)
		}
		if err := s.Resume(ctx, "invite-teammate", "ann", "another"); err != nil {
			t.Fatal(err)
		}
		if err := s.Rollback(ctx, "no such rule", ByPerson, "ann", "a test"); err == nil {
			t.Fatal("there is no such rule")
		}
		closed(t, s)
	}
	s := open(t, dir, c, nil)
	defer closed(t, s)
	lines, err := s.Ledger(ctx, 1, 1000)
	if err != nil || len(lines) < 10 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	head := Hash(lines[len(lines)-1])
	if err := verify(lines, head); err != nil {
		t.Fatal(err)
	}
	last, err := s.Ledger(ctx, 0, 2)
	if err != nil || !slices.EqualFunc(last, lines[len(lines)-2:], func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		t.Errorf("the last two: %s, %v", last, err)
	}

	attack := func(name string, lines []json.RawMessage) {
		t.Helper()
		if err := verify(lines, head); err == nil {
			t.Errorf("%s is not found", name)
		}
		if len(lines) > 0 && Hash(lines[len(lines)-1]) == head && verify(lines, "") == nil {
			t.Errorf("%s is found by nothing but the head", name)
		}
	}
	for i, line := range lines {
		attack(fmt.Sprintf("line %d missing", i+1), slices.Delete(slices.Clone(lines), i, i+1))
		attack(fmt.Sprintf("line %d twice", i+1), slices.Insert(slices.Clone(lines), i, line))
		attack(fmt.Sprintf("the end from line %d", i+1), lines[:i])
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			attack(fmt.Sprintf("line %d before its time", i+1), swapped)
		}
		for at := range line {
			edited := slices.Clone(lines)
			edited[i] = bytes.Clone(line)
			edited[i][at] ^= 1
			attack(fmt.Sprintf("byte %d of line %d", at, i+1), edited)
		}
	}
}
