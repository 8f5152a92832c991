package rules

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is one YAML file while it is being read. It collects what is wrong
// with it, so that one reading finds everything.
type document struct {
	root     string // the site directory
	file     string
	problems *Problems
	warnings *Problems
}

// parse parses a file's only document. What the format of site directories has
// no use for and what would be read differently from how it looks is refused:
// several documents, anchors, tags and keys given twice.
func (d *directory) parse(f file) (value, bool) {
	if f.bad {
		return value{}, false
	}
	doc := &document{root: d.root, file: f.path, problems: &d.problems, warnings: &d.warnings}
	decoder := yaml.NewDecoder(bytes.NewReader(f.data))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) || err == nil && isNothing(first.Content[0]) {
		d.refuse(f.path, "", "is empty")
		return value{}, false
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case err == nil:
		at := second.Content[0]
		doc.refuse(at, "put it in a file of its own", "a second document begins before this line: a file holds one")
		return value{}, false
	case !errors.Is(err, io.EOF):
		*doc.problems = append(*doc.problems, syntaxProblem(f, err))
		return value{}, false
	}
	before := len(*doc.problems)
	doc.plain(first.Content[0])
	return value{doc: doc, name: "the file", node: first.Content[0]}, len(*doc.problems) == before
}

// plain reports what is not plain YAML in the tree.
func (d *document) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		d.refuse(n, "write the value out", "aliases are not supported")
		return
	case n.Anchor != "":
		d.refuse(n, "write the value out where it is needed", "anchors are not supported")
	case n.Style&yaml.TaggedStyle != 0:
		d.refuse(n, "leave the tag out", "tags are not supported")
	}
	if n.Kind == yaml.MappingNode {
		seen := map[string]int{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode {
				continue
			}
			if line, twice := seen[key.Value]; twice {
				d.refuse(key, "", "%q is already there in line %d", key.Value, line)
			}
			seen[key.Value] = key.Line
		}
	}
	for _, c := range n.Content {
		d.plain(c)
	}
}

func (d *document) refuse(n *yaml.Node, hint, format string, args ...any) {
	*d.problems = append(*d.problems, Problem{d.file, n.Line, n.Column, fmt.Sprintf(format, args...), hint})
}

var syntaxMessage = syntax(`^yaml: (?:line ([0-9]+): )?(?s:(.*))$`)

// syntaxProblem tells where a file stops being YAML. The parser's own line is
// often that of the enclosing block or off by one, so it is sought: the first
// line of those up to which the file can't be parsed, however it goes on.
func syntaxProblem(f file, err error) Problem {
	p := Problem{File: f.path, Line: 1, Column: 1, Message: err.Error()}
	if m := syntaxMessage().FindStringSubmatch(err.Error()); m != nil {
		fmt.Sscan(m[1], &p.Line) // stays 1 if the parser has no line
		p.Message = "is not YAML: " + m[2]
	}
	lines := bytes.SplitAfter(f.data, []byte("\n"))
	const most = 1000 // lines: the search parses once for each
	if len(lines) > most {
		return p
	}
	end := len(f.data)
	for i := len(lines) - 1; i >= 0; i-- {
		end -= len(lines[i])
		if parses(f.data[:end]) {
			p.Line = i + 1
			break
		}
	}
	line := lines[min(p.Line, len(lines))-1]
	p.Column = len(line) - len(bytes.TrimLeft(line, " \t")) + 1
	switch trimmed := bytes.TrimSpace(line); {
	case strings.Contains(p.Message, "mapping values are not allowed"):
		p.Hint = `put a text with ": " in it in quotes`
	case strings.Contains(p.Message, "unexpected end of stream"):
		p.Hint = "is a quote not closed?"
	case strings.Contains(p.Message, "expected ',' or"):
		p.Hint = "is a bracket not closed?"
	case bytes.Contains(line[:p.Column-1], []byte("\t")):
		p.Hint = "indent with spaces, not with tabs"
	case bytes.Contains(trimmed, []byte(": >")), bytes.Contains(trimmed, []byte(": <")), bytes.Contains(trimmed, []byte(": =")):
		p.Hint = `put comparisons in quotes: ">= 3"`
	case bytes.Contains(trimmed, []byte(": *")), bytes.Contains(trimmed, []byte("[*")), bytes.Contains(trimmed, []byte(": @")), bytes.Contains(trimmed, []byte(": %")):
		p.Hint = "put a value that begins with a special character in quotes"
	}
	return p
}

func parses(data []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		if err := decoder.Decode(&n); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// value is a value of a document with the words to speak of it. Its methods
// report what is wrong, and return false then and if it is absent.
type value struct {
	doc    *document
	name   string
	node   *yaml.Node // nil: absent
	parent *yaml.Node // of an absent value: the mapping that lacks it
}

func (v value) present() bool { return v.node != nil }

func (v value) isMapping() bool { return v.node != nil && v.node.Kind == yaml.MappingNode }

func (v value) isList() bool { return v.node != nil && v.node.Kind == yaml.SequenceNode }

// place is the node that messages about the value point at.
func (v value) place() *yaml.Node { return cmp.Or(v.node, v.parent) }

// refuse reports that something is wrong with the value.
func (v value) refuse(hint, format string, args ...any) {
	v.doc.refuse(v.place(), hint, format, args...)
}

// warn notes what does not stop a load.
func (v value) warn(hint, format string, args ...any) {
	n := v.place()
	*v.doc.warnings = append(*v.doc.warnings, Problem{v.doc.file, n.Line, n.Column, fmt.Sprintf(format, args...), hint})
}

// isNothing says whether a node is null as it results from leaving a value out.
func isNothing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == ""
}

// found says what the value is, for messages.
func (v value) found() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch v.node.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool", "!!int", "!!float":
		return v.node.Value
	}
	return fmt.Sprintf("%q", v.node.Value)
}

// expect reports that the value isn't what it must be.
func (v value) expect(what, hint string) {
	if isNothing(v.node) {
		v.refuse("give it a value or leave the key out", "%s has no value: it must be %s", v.name, what)
		return
	}
	v.refuse(hint, "%s must be %s, found %s", v.name, what, v.found())
}

// scalar returns what a scalar says, whatever YAML takes it for.
func (v value) scalar(what string) (string, bool) {
	if v.node == nil {
		return "", false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() == "!!null" {
		v.expect(what, "")
		return "", false
	}
	return v.node.Value, true
}

// text returns a text that says something.
func (v value) text() (string, bool) {
	s, ok := v.scalar("text")
	switch {
	case !ok:
		return "", false
	case v.node.ShortTag() != "!!str":
		v.expect("text", fmt.Sprintf("put it in quotes: %q", s))
	case strings.TrimSpace(s) == "":
		v.refuse("", "%s is empty", v.name)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		v.refuse("", "%s has a control character", v.name)
	default:
		return s, true
	}
	return "", false
}

// word returns a text of one line without white space around it, of at most
// most bytes.
func (v value) word(most int) (string, bool) {
	s, ok := v.text()
	switch {
	case !ok:
		return "", false
	case strings.TrimSpace(s) != s, strings.ContainsAny(s, "\n\t"):
		v.refuse("", "%s must be one line without space around it, found %q", v.name, s)
	case len(s) > most:
		v.refuse("", "%s is longer than %d bytes", v.name, most)
	default:
		return s, true
	}
	return "", false
}

// oneOf returns a text that is one of the known ones.
func (v value) oneOf(known ...string) (string, bool) {
	s, ok := v.text()
	if ok && !slices.Contains(known, s) {
		v.refuse(didYouMean(s, known, ""), "%s must be %s, found %q", v.name, either(known), s)
		return "", false
	}
	return s, ok
}

// boolean returns true or false.
func (v value) boolean() (yes, ok bool) {
	s, ok := v.scalar("true or false")
	if !ok {
		return false, false
	}
	if v.node.ShortTag() != "!!bool" {
		v.expect("true or false", "")
		return false, false
	}
	return strings.EqualFold(s, "true"), true
}

// parsed returns what a parser makes of a scalar.
func parsed[T any](v value, what, hint string, parse func(string) (T, error)) (T, bool) {
	var zero T
	s, ok := v.scalar(what)
	if !ok {
		return zero, false
	}
	t, err := parse(s)
	if err != nil {
		v.refuse(hint, "%s: %v", v.name, err)
		return zero, false
	}
	return t, true
}

// some returns the entries of a list that has some.
func (v value) some(what string) ([]value, bool) {
	entries, ok := v.list(what)
	if ok && len(entries) == 0 {
		v.refuse("", "%s is an empty list", v.name)
		return nil, false
	}
	return entries, ok
}

// list returns the entries of a list.
func (v value) list(what string) ([]value, bool) {
	if v.node == nil {
		return nil, false
	}
	if v.node.Kind != yaml.SequenceNode {
		v.expect("a list of "+what, "write [ … ], or each entry on a line that begins with \"- \"")
		return nil, false
	}
	var entries []value
	for _, n := range v.node.Content {
		entries = append(entries, value{doc: v.doc, name: "an entry of " + v.name, node: n})
	}
	return entries, true
}

// fields is a mapping.
type fields struct {
	value
	pairs []pair   // in the file's order
	meant []string // known keys that unknown ones were probably meant to be
}

// pair is a key of a mapping and its value, which is named by the key.
type pair struct {
	key, value value
}

// open returns a mapping whose keys are free.
func (v value) open(what string) (fields, bool) {
	if v.node == nil {
		return fields{}, false
	}
	if v.node.Kind != yaml.MappingNode {
		v.expect(what, "")
		return fields{}, false
	}
	f := fields{value: v}
	for i := 0; i < len(v.node.Content); i += 2 {
		key := value{doc: v.doc, name: "a key of " + v.name, node: v.node.Content[i]}
		name, ok := key.scalar("text")
		if ok && name == "" {
			key.refuse("", "a key of %s is empty", v.name)
			ok = false
		}
		if ok {
			f.pairs = append(f.pairs, pair{key, value{doc: v.doc, name: name, node: v.node.Content[i+1]}})
		}
	}
	return f, true
}

// fields returns a mapping that has no other keys than those known.
func (v value) fields(what string, known ...string) (fields, bool) {
	f, ok := v.open(what)
	if !ok {
		return fields{}, false
	}
	f.pairs = slices.DeleteFunc(f.pairs, func(p pair) bool {
		if slices.Contains(known, p.value.name) {
			return false
		}
		f.meant = append(f.meant, nearest(p.value.name, known))
		p.key.refuse(didYouMean(p.value.name, known, "known here: "+strings.Join(known, ", ")), "unknown key %q", p.value.name)
		return true
	})
	return f, true
}

// get returns the value of a key, absent if there is none.
func (f fields) get(key string) value {
	for _, p := range f.pairs {
		if p.value.name == key {
			return p.value
		}
	}
	return value{doc: f.doc, name: key, parent: f.node}
}

// need returns the value of a key whose absence is a problem.
func (f fields) need(key, hint string) value {
	v := f.get(key)
	if !v.present() && !slices.Contains(f.meant, key) {
		f.refuse(hint, "%s is missing", key)
	}
	return v
}

// either joins words as a choice: "a, b or c".
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
