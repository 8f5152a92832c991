package rewrite

import (
	"cmp"
	"container/list"
	"sync"
)

// maxLearned is how much of a page is learned, in bytes.
const maxLearned = 2 << 20

// DefaultMemory is how many bytes a Memory holds if it isn't told: 64 MiB.
const DefaultMemory = 64 << 20

// A Memory keeps recent pages, so that what comes again is compared instead of
// taken apart. It changes what a page costs and nothing of what comes out. Its
// zero value holds DefaultMemory. It is safe for concurrent use.
type Memory struct {
	max int // 0: DefaultMemory

	mu     sync.Mutex // guards what follows
	routes map[route]*list.Element
	recent list.List // of *lesson, the most recently used first
	bytes  int
}

// NewMemory returns a Memory that holds about so many bytes of pages.
func NewMemory(bytes int) *Memory { return &Memory{max: bytes} }

// A route is what pages have in common that are likely to be alike.
type route struct {
	program           *Program
	name, contentType string
}

// A lesson is what is known of a route's pages.
type lesson struct {
	route   route
	page    *learned // nil: to be learned from the next page
	skip    int      // for so many pages it isn't worth the while
	failed  int      // how often in a row it was not
	bytes   int
	pending bool // someone is learning it
}

// recall gives the route's page, or says whether this one should be learned.
func (m *Memory) recall(r route) (page *learned, learn bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.routes[r]
	if !ok {
		if m.routes == nil {
			m.routes = map[route]*list.Element{}
		}
		e = m.recent.PushFront(&lesson{route: r})
		m.routes[r] = e
		m.grow(e.Value.(*lesson), lessonSize)
	} else {
		m.recent.MoveToFront(e)
	}
	l := e.Value.(*lesson)
	switch {
	case l.skip > 0:
		l.skip--
		return nil, false
	case l.page != nil:
		return l.page, false
	case l.pending:
		return nil, false
	}
	l.pending = true
	return nil, true
}

// lessonSize is what a lesson takes beside its page, about.
const lessonSize = 512

// keep ends the learning of a route; page may be nil.
func (m *Memory) keep(r route, page *learned) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.routes[r]; ok {
		l := e.Value.(*lesson)
		l.pending = false
		if page == nil {
			m.disappoint(l)
			return
		}
		l.page = page
		m.grow(l, page.size())
	}
}

// judge says how much of a page of the route was as the one learned.
func (m *Memory) judge(r route, page *learned, useful bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.routes[r]
	if !ok {
		return
	}
	l := e.Value.(*lesson)
	switch {
	case l.page != page:
	case useful:
		l.failed = 0
	default:
		m.grow(l, lessonSize-l.bytes)
		l.page = nil
		m.disappoint(l)
	}
}

// disappoint has the route's pages left alone for a while: longer each time.
func (m *Memory) disappoint(l *lesson) {
	const longest = 10
	l.failed = min(l.failed+1, longest)
	l.skip = 1<<l.failed - 2
}

// grow accounts for bytes, and forgets what was not used for longest.
func (m *Memory) grow(l *lesson, bytes int) {
	l.bytes += bytes
	m.bytes += bytes
	for m.bytes > cmp.Or(m.max, DefaultMemory) && m.recent.Len() > 1 {
		last := m.recent.Back()
		old := last.Value.(*lesson)
		m.recent.Remove(last)
		delete(m.routes, old.route)
		m.bytes -= old.bytes
	}
}
