package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// sockets are those that a service manager opened for us and keeps open when we
// end, by the key of refract.yaml that they are for: sd_listen_fds(3).
type sockets map[string]*os.File

// socketKeys are the keys that a socket can be for.
var socketKeys = []string{"listen", "tls", "admin"}

// inheritedSockets takes over the sockets that this process was started with.
// A socket says by its name, FileDescriptorName in its unit, what it is for;
// one alone needs none.
func inheritedSockets() (sockets, error) {
	s := sockets{}
	files := activation.Files(true)
	for _, f := range files {
		key := f.Name()
		if len(files) == 1 && !slices.Contains(socketKeys, key) {
			key = "listen"
		}
		switch {
		case !slices.Contains(socketKeys, key):
			return nil, fmt.Errorf("the socket %q that refract was started with is for nothing that listens\nhint: name it by FileDescriptorName=, one of %s", key, strings.Join(socketKeys, ", "))
		case s[key] != nil:
			return nil, fmt.Errorf("refract was started with two sockets for %s", key)
		}
		s[key] = f
	}
	return s, nil
}

// listen returns the listener for a key: on the socket that was inherited for
// it, or else a new one.
func (s sockets) listen(key string, open func() (net.Listener, error)) (net.Listener, error) {
	f := s[key]
	if f == nil {
		l, err := open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return l, nil
	}
	l, err := net.FileListener(f)
	if err := cmp.Or(err, f.Close()); err != nil { // the listener has a copy
		return nil, errors.Join(fmt.Errorf("%s: the socket that refract was started with: %w", key, err), closed(l))
	}
	return l, nil
}

func closed(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// notify tells the service manager, if there is one: sd_notify(3).
func (e *edge) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		e.log.Warn("the service manager can't be told", slog.String("state", state), slog.String("error", err.Error()))
	}
}
