package main

import (
	"context"
	"errors"
	"io"
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

// Limits of the admin listener.
const (
	adminHeaderTimeout = 10 * time.Second
	adminIdleTimeout   = 2 * time.Minute
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
			keepHeapFloor()
			out := newLogWriter(cmd.ErrOrStderr())
			defer out.close()
			log := slog.New(slog.NewJSONHandler(out, nil))
			return serve(cmd.Context(), dir, now, outputs{log: log, logLost: out.lost, access: cmd.OutOrStdout()}, nil)
		},
	}
	cmd.Flags().StringVar(&dir, "site", "site", "the site directory")
	return cmd
}

// outputs are where a process writes to.
type outputs struct {
	log     *slog.Logger
	logLost func() uint64 // lines of the log that were dropped; nil: none are
	access  io.Writer     // lines of the access log
}

// serve runs an edge until it is told to end. ready, if not nil, is called
// with the addresses once both listeners are open.
func serve(ctx context.Context, dir string, now func() time.Time, out outputs, ready func(listen, admin net.Addr)) error {
	orders, release := takeOrders()
	defer release()
	inherited, err := inheritedSockets()
	if err != nil {
		return err
	}
	e, err := newEdge(ctx, dir, now, out.log, len(inherited) > 0)
	if err != nil {
		return err
	}
	access := newAccessLog(out.access, func() *rules.Edge { return &e.live.Load().Edge })
	e.meter.accessLost, e.meter.logLost = access.out.lost, out.logLost
	count := e.proxy.Done
	e.proxy.Done = func(x *proxy.Exchange) {
		count(x)
		access.write(x)
	}
	err = e.listenAndServe(ctx, inherited, orders, ready)
	access.out.close()
	return errors.Join(err, e.shut())
}

// listenAndServe opens the listeners, serves until ctx ends or a signal asks
// for it, and drains.
func (e *edge) listenAndServe(ctx context.Context, inherited sockets, orders <-chan os.Signal, ready func(listen, admin net.Addr)) error {
	open, err := openListeners(&e.started, inherited)
	if err != nil {
		return err
	}
	back := &http.Server{
		Handler: e.admin.Handler(), ReadHeaderTimeout: adminHeaderTimeout, IdleTimeout: adminIdleTimeout,
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	// Before anyone is told that it serves: who reads that may signal at once.
	stop, now, unheed := e.heed(orders)
	defer unheed()
	failed := make(chan error, 2)
	var accepting sync.WaitGroup
	accepting.Go(func() { failed <- e.front.Serve(open.plain, open.secure, open.quic) })
	go func() { failed <- back.Serve(open.admin) }()
	if err := e.obtainCertificates(); err != nil {
		return errors.Join(err, e.front.Close(), back.Close())
	}
	set := e.set()
	e.log.Info("serving", append(open.attrs(), slog.String("origin", strings.Join(set.Edge.Servers(), " ")), slog.String("revision", set.Revision))...)
	e.notify(daemon.SdNotifyReady)
	if ready != nil {
		ready(open.plain.Addr(), open.admin.Addr())
	}
	select {
	case err := <-failed:
		return errors.Join(err, e.front.Close(), back.Close())
	case <-ctx.Done():
	case <-stop:
	}
	stopAccepting := func() {
		e.front.StopAccepting()
		accepting.Wait()
	}
	return e.drain(stopAccepting, back, len(inherited) > 0, now)
}

// takeOrders takes the signals that ask for something else than the end, which
// would end the process otherwise. It is called before anything that takes time:
// a service manager may send them to a process that it has just started. A start
// may still be ended by SIGTERM, as long as there is nothing to drain.
func takeOrders() (orders <-chan os.Signal, release func()) {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	return c, func() { signal.Stop(c) }
}

// heed does what signals ask for: at once what was asked before. stop is closed
// by the first SIGTERM or SIGINT, now by the second. After unheed, these do what
// they do by themselves, and orders are left alone.
func (e *edge) heed(orders <-chan os.Signal) (stop, now <-chan struct{}, unheed func()) {
	signal.Ignore(syscall.SIGPIPE) // who read the log may go: the pages go on
	ends := make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	obey := func(s os.Signal) {
		if s != syscall.SIGHUP {
			e.turn(s == syscall.SIGUSR1, bySignal, console.Change{})
			return
		}
		select {
		case e.hangups <- struct{}{}:
		default: // one that has not begun yet will do
		}
	}
	for waiting := true; waiting; {
		select {
		case s := <-orders:
			obey(s)
		default:
			waiting = false
		}
	}
	first, second, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		for n := 0; ; {
			select {
			case s := <-orders:
				obey(s)
			case <-ends:
				switch n++; n {
				case 1:
					close(first)
				case 2:
					close(second)
				}
			case <-over:
				return
			}
		}
	}()
	return first, second, func() {
		signal.Stop(ends)
		close(over)
	}
}

// flying counts the requests being served.
func (m *meter) flying(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.inFlight.Inc()
		defer m.inFlight.Dec()
		next.ServeHTTP(w, r)
	})
}
