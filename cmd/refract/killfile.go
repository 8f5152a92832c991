package main

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

const (
	// killFile in the data directory turns every rule off, killFile.NAME one of
	// them, whatever is in it and whatever it is.
	killFile = "OFF"

	// keepEvery is how often keep looks by itself, without a notice.
	keepEvery = 500 * time.Millisecond
)

// keep is the goroutine that looks for kill files and for rules that have
// expired. It tells the service manager's watchdog that this still happens.
func (e *edge) keep() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	notices := newNotices(e.log)
	defer notices.close()
	watchdog, _ := daemon.SdWatchdogEnabled(false) // what it can't parse, it doesn't expect
	var fed time.Time
	for {
		notices.watch(e.data)
		e.lookForKillFiles()
		if at := e.expires.Load(); at != 0 && e.now().UnixMilli() >= at {
			e.publish()
		}
		e.serving.tell(e.now())
		if now := time.Now(); watchdog > 0 && now.Sub(fed) >= watchdog/3 {
			e.notify(daemon.SdNotifyWatchdog)
			fed = now
		}
		for idle := true; idle; {
			select {
			case <-e.closing.Done():
				return
			case <-tick.C:
				idle = false
			case ev := <-notices.events():
				// Who writes other files there is not to keep us busy.
				idle = ev.Name != e.data && !strings.HasPrefix(filepath.Base(ev.Name), killFile)
			case <-notices.errors(): // some notices may be lost
				idle = false
			}
		}
	}
}

// lookForKillFiles turns treatment off by the kill files that are there, and on
// by those that are no longer.
func (e *edge) lookForKillFiles() {
	entries, err := os.ReadDir(e.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		// Not known: as it was.
		if !e.blind {
			e.blind = true
			e.log.Warn("the data directory can't be read: kill files are not seen", slog.String("error", err.Error()))
		}
		return
	}
	e.blind = false
	there := map[string]string{}
	for _, entry := range entries {
		rule, one := strings.CutPrefix(entry.Name(), killFile+".")
		if entry.Name() == killFile {
			rule = ""
		} else if !one || rule == "" {
			continue
		}
		there[rule] = filepath.Join(e.data, entry.Name())
	}
	added, gone := e.switches.setFiles(there, e.now())
	if len(added)+len(gone) == 0 {
		return
	}
	e.publish()
	for _, s := range added {
		e.tell(true, s)
	}
	for _, s := range gone {
		e.tell(false, s)
	}
}
