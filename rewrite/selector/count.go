package selector

import "slices"

// maxTypes is how many types that no selector names are remembered from one
// page to the next.
const maxTypes = 1024

// A typeCounter counts the children of each open element by type.
//
// It has a stack for each type: the innermost open element that has such a
// child is on top, once it is asked for. What was closed is taken off only then.
type typeCounter struct {
	named  []string // the types that selectors name
	all    bool     // every type must be counted, not only these
	types  map[string]int
	counts [][]typeCount // by type
}

// A typeCount is how many children of a type an open element has.
type typeCount struct {
	depth    int
	element  uint64 // the number of the open element
	children int
}

// want makes elements of a type be counted; empty: of any.
func (t *typeCounter) want(name string) {
	if name == "" {
		t.all = true
	} else if !slices.Contains(t.named, name) {
		t.named = append(t.named, name)
	}
}

func (t *typeCounter) reset() {
	if t.types == nil || len(t.types) > len(t.named)+maxTypes {
		t.types, t.counts = map[string]int{}, nil
		for _, name := range t.named {
			t.add(name)
		}
	}
	for i := range t.counts {
		t.counts[i] = t.counts[i][:0]
	}
}

func (t *typeCounter) add(name string) int {
	t.types[name] = len(t.counts)
	t.counts = append(t.counts, nil)
	return t.types[name]
}

// count counts one more child of a type and returns how many there are. The
// parent is the innermost open element. Zero: this type doesn't matter.
func (t *typeCounter) count(name []byte, depth int, parent uint64) int {
	if !t.all && len(t.named) == 0 {
		return 0
	}
	i, known := t.types[string(name)]
	if !known {
		if !t.all {
			return 0
		}
		i = t.add(string(name))
	}
	stack := t.counts[i]
	for n := len(stack); n > 0 && (stack[n-1].depth > depth || stack[n-1].depth == depth && stack[n-1].element != parent); n-- {
		stack = stack[:n-1]
	}
	if n := len(stack); n == 0 || stack[n-1].depth < depth {
		stack = append(stack, typeCount{depth, parent, 0})
	}
	t.counts[i] = stack
	top := &stack[len(stack)-1]
	top.children++
	return top.children
}

// remove forgets the open element at depth; those deeper are one less deep.
func (t *typeCounter) remove(depth int) {
	for i, stack := range t.counts {
		stack = slices.DeleteFunc(stack, func(c typeCount) bool { return c.depth == depth })
		for j := range stack {
			if stack[j].depth > depth {
				stack[j].depth--
			}
		}
		t.counts[i] = stack
	}
}
