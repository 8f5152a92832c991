package main

import (
	"log/slog"
	"os"

	"github.com/fsnotify/fsnotify"
)

// notices tell that something in some directories may have changed. They are a
// hint: some file systems give none, and the number that a system gives is
// limited, so who needs to know also looks by itself every now and then. It is
// for one goroutine.
type notices struct {
	watcher *fsnotify.Watcher // nil: this system gives none
	watched map[string]os.FileInfo
	log     *slog.Logger
}

func newNotices(log *slog.Logger) *notices {
	n := &notices{watched: map[string]os.FileInfo{}, log: log}
	var err error
	if n.watcher, err = fsnotify.NewWatcher(); err != nil {
		n.watcher = nil
		log.Warn("changed files are noticed later: the system gives no notices", slog.String("error", err.Error()))
	}
	return n
}

// watch has the directories watched, and no others. It is called again at every
// look, and finds those that are new, gone, or others than before under the
// same name.
func (n *notices) watch(dirs ...string) {
	if n.watcher == nil {
		return
	}
	now := map[string]os.FileInfo{}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil {
			now[dir] = info
		}
	}
	for dir, was := range n.watched {
		if is, ok := now[dir]; !ok || !os.SameFile(was, is) {
			_ = n.watcher.Remove(dir) // it may be gone already
			delete(n.watched, dir)
		}
	}
	for dir, info := range now {
		if n.watched[dir] != nil {
			continue
		}
		if err := n.watcher.Add(dir); err != nil {
			continue // the next look tries again
		}
		n.watched[dir] = info
	}
}

func (n *notices) events() <-chan fsnotify.Event {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Events
}

func (n *notices) errors() <-chan error {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Errors
}

func (n *notices) close() {
	if n.watcher != nil {
		_ = n.watcher.Close() // nothing is written through it
	}
}
