package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rules"
)

// Limits of the visitors' listener.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

func newServeCommand(now func() time.Time) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy in front of the origin of a site directory",
		Long: "Run the proxy in front of the origin of a site directory.\n\n" +
			"SIGHUP reloads the site directory; a bad one changes nothing. SIGUSR1 has every page served as the app\n" +
			"made it, until SIGUSR2. SIGTERM and SIGINT drain and end; a second one ends at once. Sockets of systemd's\n" +
			"socket activation are taken over. Access log lines go to standard output, everything else to standard error.",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := newLogWriter(cmd.ErrOrStderr())
			defer out.close()
			log := slog.New(slog.NewJSONHandler(out, nil))
			return serve(cmd.Context(), dir, now, log, cmd.OutOrStdout(), nil)
		},
	}
	cmd.Flags().StringVar(&dir, "site", "site", "the site directory")
	return cmd
}

// serve runs an edge until it is told to end. ready, if not nil, is called
// with the addresses once both listeners are open.
func serve(ctx context.Context, dir string, now func() time.Time, log *slog.Logger, accessOut io.Writer, ready func(listen, admin net.Addr)) error {
	inherited, err := inheritedSockets()
	if err != nil {
		return err
	}
	e, err := newEdge(ctx, dir, now, log, len(inherited) > 0)
	if err != nil {
		return err
	}
	access := newAccessLog(accessOut, func() *rules.Edge { return &e.live.Load().Edge }, e.meter.logDropped)
	count := e.proxy.Done
	e.proxy.Done = func(x *proxy.Exchange) {
		count(x)
		access.write(x)
	}
	err = e.listenAndServe(ctx, inherited, ready)
	flushed := make(chan struct{})
	go func() {
		access.out.close()
		close(flushed)
	}()
	waitFor(flushed, flushDeadline)
	return errors.Join(err, e.shut())
}

// listenAndServe opens both listeners, serves until ctx ends or a signal asks
// for it, and drains.
func (e *edge) listenAndServe(ctx context.Context, inherited sockets, ready func(listen, admin net.Addr)) error {
	set := e.set()
	listen, err := inherited.listen("listen", func() (net.Listener, error) { return net.Listen("tcp", set.Edge.Listen) })
	if err != nil {
		return err
	}
	admin, err := inherited.listen("admin", func() (net.Listener, error) { return listenAdmin(set.Edge.Admin) })
	if err != nil {
		return errors.Join(err, listen.Close())
	}
	errLog := slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)
	front := &http.Server{
		Handler: e.flights.track(e.tracing.handler(e.meter.flying(e.proxy))), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errLog, ConnState: e.flights.connState,
	}
	back := &http.Server{Handler: e.admin.Handler(), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, ErrorLog: errLog}
	// Before anyone is told that it serves: who reads that may signal at once.
	stop, now, unheed := e.heed()
	defer unheed()
	failed := make(chan error, 2)
	var accepting sync.WaitGroup
	accepting.Go(func() { failed <- front.Serve(listen) })
	go func() { failed <- back.Serve(admin) }()
	e.log.Info("serving", slog.String("listen", listen.Addr().String()), slog.String("admin", admin.Addr().String()),
		slog.String("origin", strings.Join(set.Edge.Servers(), " ")), slog.String("revision", set.Revision))
	e.notify(daemon.SdNotifyReady)
	if ready != nil {
		ready(listen.Addr(), admin.Addr())
	}
	select {
	case err := <-failed:
		return errors.Join(err, front.Close(), back.Close())
	case <-ctx.Done():
	case <-stop:
	}
	stopAccepting := func() {
		_ = listen.Close() // what it had accepted is served
		accepting.Wait()
	}
	return e.drain(stopAccepting, front, back, len(inherited) > 0, now)
}

// heed does what signals ask for. stop is closed by the first SIGTERM or
// SIGINT, now by the second. After unheed, signals do what they do by
// themselves.
func (e *edge) heed() (stop, now <-chan struct{}, unheed func()) {
	signal.Ignore(syscall.SIGPIPE) // who read the log may go: the pages go on
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	first, second := make(chan struct{}), make(chan struct{})
	go func() {
		ends := 0
		for s := range signals {
			switch s {
			case syscall.SIGHUP:
				select {
				case e.hangups <- struct{}{}:
				default: // one that has not begun yet will do
				}
			case syscall.SIGUSR1, syscall.SIGUSR2:
				e.turn(s == syscall.SIGUSR1, bySignal, console.Change{})
			default:
				switch ends++; ends {
				case 1:
					close(first)
				case 2:
					close(second)
				}
			}
		}
	}()
	return first, second, func() {
		signal.Stop(signals)
		close(signals)
	}
}

// listenAdmin opens the admin listener: a TCP address, or "unix:" and a path.
func listenAdmin(address string) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix:")
	if !unix {
		return net.Listen("tcp", address)
	}
	// A socket that nobody answers on is left over from a crash.
	if conn, err := net.Dial("unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("another process listens on %s", path), conn.Close())
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSocket == 0:
		return nil, fmt.Errorf("%s is there and is no socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// flying counts the requests being served.
func (m *meter) flying(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		next.ServeHTTP(w, r)
	})
}
