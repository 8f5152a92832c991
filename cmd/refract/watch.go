package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// watchEvery is how often the site directory is looked at without a notice.
	watchEvery = 2 * time.Second
	// settleTime is how long the site directory must look the same before it is
	// loaded: an editor's save is several steps.
	settleTime = 200 * time.Millisecond
)

// siteParts are the directories that a site is read from, below its own.
var siteParts = []string{"segments", "surfaces", "rules", "responses", "approvals"}

// reloadOnRequest is the goroutine of the reloads that nobody waits for: those
// of the signal, and, if the site says so, those of a changed file.
func (e *edge) reloadOnRequest() {
	poll := time.NewTicker(watchEvery)
	defer poll.Stop()
	settle := time.NewTimer(0) // looks at once
	defer settle.Stop()
	notices := newNotices(e.log)
	defer notices.close()
	var seen, tried string // what the directory looked like
	for {
		select {
		case <-e.closing.Done():
			return
		case <-e.hangups:
			e.reloadAndLog("by signal")
			continue
		case <-notices.events():
			settle.Reset(settleTime)
			continue
		case <-notices.errors(): // some notices may be lost
		case <-poll.C:
		case <-settle.C:
		}
		if !e.set().Edge.Watch {
			notices.watch()
			seen, tried = "", ""
			continue
		}
		notices.watch(siteDirs(e.dir)...)
		switch now := fingerprint(e.dir); now {
		case tried:
		case seen:
			tried = now
			e.reloadAndLog("by a change of the site directory")
		default:
			seen = now
			settle.Reset(settleTime)
		}
	}
}

// reloadAndLog is a reload of which the log alone is told.
func (e *edge) reloadAndLog(asked string) {
	if _, err := e.reload(context.Background(), nil); err != nil {
		e.log.Error("reload refused: what was live stays live", slog.String("asked", asked), slog.String("error", err.Error()))
	}
}

func siteDirs(dir string) []string {
	dirs := []string{dir}
	for _, part := range siteParts {
		dirs = append(dirs, filepath.Join(dir, part))
	}
	return dirs
}

// fingerprint is a hash of what the files of a site look like from outside: it
// changes when one of them does, and with nothing else that lies there. Links
// are followed: a directory mounted from a Kubernetes ConfigMap consists of
// them.
func fingerprint(dir string) string {
	h := sha256.New()
	add := func(name string) {
		info, err := os.Stat(name)
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", name, err)
			return
		}
		fmt.Fprintf(h, "%q %d %d %s\n", name, info.Size(), info.ModTime().UnixNano(), info.Mode()&(fs.ModeType|fs.ModePerm))
	}
	add(filepath.Join(dir, "refract.yaml"))
	add(filepath.Join(dir, "approvers.yaml"))
	for _, part := range siteParts {
		entries, err := os.ReadDir(filepath.Join(dir, part))
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", part, err)
		}
		for _, entry := range entries {
			if name := entry.Name(); !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "#") && !strings.HasSuffix(name, "~") {
				add(filepath.Join(dir, part, name))
			}
		}
	}
	return string(h.Sum(nil))
}
