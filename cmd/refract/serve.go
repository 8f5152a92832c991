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
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/proxy"
)

// Limits of the visitors' listener.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	drainDeadline     = 30 * time.Second
)

func newServeCommand(now func() time.Time) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy in front of the origin of a site directory",
		Long: "Run the proxy in front of the origin of a site directory.\n\n" +
			"SIGHUP reloads the site directory; a bad one changes nothing. SIGTERM and SIGINT drain and end;\n" +
			"a second one ends at once. Access log lines go to standard output, everything else to standard error.",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			return serve(cmd.Context(), dir, now, log, cmd.OutOrStdout(), nil)
		},
	}
	cmd.Flags().StringVar(&dir, "site", "site", "the site directory")
	return cmd
}

// serve runs an edge until it is told to end. ready, if not nil, is called
// with the addresses once both listeners are open.
func serve(ctx context.Context, dir string, now func() time.Time, log *slog.Logger, accessOut io.Writer, ready func(listen, admin net.Addr)) error {
	e, err := newEdge(ctx, dir, now, log)
	if err != nil {
		return err
	}
	access := newAccessLog(accessOut, e.meter.logDropped)
	count := e.proxy.Done
	e.proxy.Done = func(x *proxy.Exchange) {
		count(x)
		access.write(x)
	}
	err = e.listenAndServe(ctx, ready)
	access.out.close()
	return errors.Join(err, e.shut())
}

// listenAndServe opens both listeners, serves until ctx ends or a signal asks
// for it, and drains.
func (e *edge) listenAndServe(ctx context.Context, ready func(listen, admin net.Addr)) error {
	set := e.set()
	listen, err := net.Listen("tcp", set.Edge.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	admin, err := listenAdmin(set.Edge.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("admin: %w", err), listen.Close())
	}
	errLog := slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)
	front := &http.Server{
		Handler: e.meter.flying(e.proxy), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errLog,
	}
	back := &http.Server{Handler: e.admin.Handler(), ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, ErrorLog: errLog}
	signal.Ignore(syscall.SIGPIPE) // who read the log may go: the pages go on
	// Before anyone is told that it serves: who reads that may signal at once.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	failed := make(chan error, 2)
	go func() { failed <- front.Serve(listen) }()
	go func() { failed <- back.Serve(admin) }()
	e.log.Info("serving", slog.String("listen", listen.Addr().String()), slog.String("admin", admin.Addr().String()),
		slog.String("origin", strings.Join(set.Edge.Servers(), " ")), slog.String("revision", set.Revision))
	if ready != nil {
		ready(listen.Addr(), admin.Addr())
	}
	for {
		select {
		case err := <-failed:
			return errors.Join(err, front.Close(), back.Close())
		case <-ctx.Done():
			return e.drain(front, back, signals)
		case s := <-signals:
			if s != syscall.SIGHUP {
				return e.drain(front, back, signals)
			}
			if _, err := e.reload(ctx); err != nil {
				e.log.Error("reload refused: what was live stays live", slog.String("error", err.Error()))
			}
		}
	}
}

// drain ends the servers: the visitors' first, with time to finish.
func (e *edge) drain(front, back *http.Server, signals <-chan os.Signal) error {
	e.draining.Store(true)
	e.log.Info("draining")
	ctx, cancel := context.WithTimeout(context.Background(), drainDeadline)
	defer cancel()
	go func() {
		for s := range signals {
			if s != syscall.SIGHUP {
				cancel()
				return
			}
		}
	}()
	if err := front.Shutdown(ctx); err != nil {
		e.log.Warn("drain cut short", slog.String("error", err.Error()))
		_ = front.Close() // what is still open is given up
	}
	return back.Close()
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
