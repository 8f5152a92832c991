package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// fail marks the store as failed for good.
func (s *Store) fail(err error) {
	s.once.Do(func() {
		s.cause = err
		close(s.failed)
		s.opts.Log.Error("the store failed: events are refused, pages are served as the app made them, until a restart",
			slog.String("error", err.Error()))
		s.health()
	})
}

func (s *Store) health() {
	if s.opts.Health != nil {
		go s.opts.Health()
	}
}

// background is told of failed flushes and compactions, which Pebble tries
// again: only a damaged file is beyond that.
func (s *Store) background(err error) {
	if pebble.IsCorruptionError(err) {
		s.fail(err)
		return
	}
	s.opts.Log.Warn("store: background work failed and will be tried again", slog.String("error", err.Error()))
}

// checkSpace refuses writes before the disk is full, and takes them again when
// there is room: a log that can't be written is fatal to Pebble.
func (s *Store) checkSpace() {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.opts.Dir, &st); err != nil {
		return // not known: go on
	}
	free := st.Bavail * uint64(st.Bsize)
	if full := free < s.opts.Reserve; s.full.Swap(full) != full {
		s.health()
		if full {
			s.opts.Log.Error("the disk is nearly full: events are refused", slog.Uint64("free", free), slog.Uint64("reserve", s.opts.Reserve))
		} else {
			s.opts.Log.Info("the disk has room again: events are taken", slog.Uint64("free", free))
		}
	}
}

// pebbleLog hands Pebble's troubles to the store. Fatalf must not return, and
// must not end the process, which has pages to serve: it fails the store and
// parks the goroutine.
type pebbleLog struct{ s *Store }

func (pebbleLog) Infof(string, ...any) {}

func (l pebbleLog) Errorf(format string, args ...any) {
	l.s.opts.Log.Warn("store: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	select {}
}

func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK) ||
		strings.Contains(err.Error(), "lock held") || strings.Contains(err.Error(), "resource temporarily unavailable")
}
