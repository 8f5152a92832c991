package origin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed14307185/refract/rules"
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// shared is what a transport and its successors have in common.
type shared struct {
	mu      sync.Mutex         // guards servers, and each server's users
	servers map[string]*server // that some transport uses, by key
	pools   pools
}

// known returns the server that is in use already and the same in everything,
// else s itself. The caller holds mu.
func (sh *shared) known(s *server) *server {
	if have := sh.servers[s.key]; have != nil {
		return have
	}
	sh.servers[s.key] = s
	return s
}

// acquire adds a user. The caller holds mu.
func (sh *shared) acquire(s *server) {
	if s.users++; s.users == 1 && s.check != nil {
		ctx, stop := context.WithCancel(context.Background())
		s.stopChecks = stop
		go s.watch(ctx)
	}
}

// release takes a user away, and the server with the last one. The caller
// holds mu.
func (sh *shared) release(s *server) {
	if s.users--; s.users > 0 {
		return
	}
	delete(sh.servers, s.key)
	if s.stopChecks != nil {
		s.stopChecks()
	}
	s.idle.shut()
}

// server is one address of the app, with its connections and its health.
type server struct {
	name    string // as configured
	shown   string // name as the host of a URL
	key     string // equal for servers that are the same in everything
	network string
	address string
	host    string // the Host header of requests that have none
	tls     *credentials

	connect, response, idleRead time.Duration
	headBytes, fields           int
	pools                       *pools
	dial                        dialFunc
	log                         *slog.Logger

	check      *rules.Health // nil: none
	users      int           // transports; shared.mu guards it
	stopChecks context.CancelFunc

	idle     idle
	inFlight atomic.Int64
	open     atomic.Int64
	health   health
}

const (
	defaultHeadBytes = 1 << 20
	defaultFields    = 1000
)

// newServer makes a server of its address and of what its group says.
func newServer(to string, o *rules.Origin, creds *credentials, cfg *Config, sh *shared) (*server, error) {
	s := &server{
		name: to, shown: hostOf(to), connect: o.Connect, response: o.Response, idleRead: o.Idle,
		headBytes: cmp.Or(cfg.Limits.HeaderBytes, defaultHeadBytes), fields: cmp.Or(cfg.Limits.Headers, defaultFields),
		pools: &sh.pools, dial: cfg.dial, log: cfg.Log, check: o.Health,
	}
	s.health = health{limit: o.Failures, cooldown: o.Cooldown, start: time.Now()}
	if s.dial == nil {
		s.dial = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	}
	if path, ok := strings.CutPrefix(to, "unix:"); ok {
		if path == "" {
			return nil, fmt.Errorf("origin %q has no path\nhint: write it as unix:/run/app.sock", to)
		}
		s.network, s.address, s.host = "unix", path, "localhost"
	} else {
		u, err := url.Parse(to)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("origin %q is not an address\nhint: write http://HOST:PORT, https://HOST:PORT or unix:/PATH", to)
		}
		port := "80"
		if u.Scheme == "https" {
			port = "443"
			s.tls = creds.forHost(u.Hostname())
		}
		s.network, s.host = "tcp", u.Host
		s.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	}
	var check rules.Health
	if o.Health != nil {
		check = *o.Health
	}
	s.key = fmt.Sprintf("%q %v %v %v %d %d %d %v %+v", to, s.connect, s.response, s.idleRead, s.headBytes, s.fields,
		o.Failures, o.Cooldown, check)
	if s.tls != nil {
		s.key += s.tls.key
	}
	return s, nil
}

// get returns an idle connection, or a new one.
func (s *server) get(ctx context.Context, fresh bool) (*conn, error) {
	if !fresh {
		for c := s.idle.take(); c != nil; c = s.idle.take() {
			if !c.stale() {
				return c, nil
			}
			c.close()
		}
	}
	if s.connect > 0 {
		deadline, cancel := context.WithTimeoutCause(ctx, s.connect, errSlowConnect)
		defer cancel()
		c, err := s.fresh(deadline)
		if err != nil && ctx.Err() == nil && deadline.Err() != nil {
			err = fmt.Errorf("%w of %v", errSlowConnect, s.connect)
		}
		return c, err
	}
	return s.fresh(ctx)
}

// slow is a time-out of ours.
type slow string

func (e slow) Error() string { return string(e) }
func (e slow) Timeout() bool { return true }

const errSlowConnect = slow("no connection within the time-out")

// fresh opens a connection.
func (s *server) fresh(ctx context.Context) (*conn, error) {
	under, err := s.dial(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	c := newConn(s, under)
	if s.tls != nil {
		secure := s.tls.client(under)
		if err := secure.HandshakeContext(ctx); err != nil {
			c.close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		c.Conn = secure
	}
	return c, nil
}

// keep makes a connection idle, or closes it.
func (s *server) keep(c *conn) {
	if !s.idle.keep(c) {
		c.close()
	}
}

func (s *server) state() State {
	return State{
		Server: s.name, Healthy: s.healthy(), InFlight: int(s.inFlight.Load()),
		Connections: int(s.open.Load()), Failures: s.health.total.Load(),
	}
}

// fail makes the failure of an exchange, and counts it where it speaks against
// the server.
func (s *server) fail(ctx context.Context, f failure) *failure {
	if err := ctx.Err(); err != nil {
		f.err = err
		return &f
	}
	if f.counts(ctx) {
		if s.health.failed() {
			s.log.Warn("a server is out: it does not answer", slog.String("origin", s.name),
				slog.Duration("for", s.health.cooldown), slog.String("error", f.err.Error()))
		}
	}
	var ours *Error
	if !errors.As(f.err, &ours) {
		f.err = &Error{Server: s.name, Op: f.op, Err: f.err}
	}
	return &f
}
