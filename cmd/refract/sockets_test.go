package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// managed is a service manager: it holds the sockets that refract serves on.
type managed struct {
	t     testing.TB
	dir   string
	names string
	files []*os.File
	addr  string // of the first
}

func newManaged(t testing.TB, dir string, names ...string) *managed {
	t.Helper()
	m := &managed{t: t, dir: dir, names: strings.Join(names, ":")}
	for range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		if m.addr == "" {
			m.addr = l.Addr().String()
		}
		// Whenever a net.Listener's File is handed to a process, the socket gets
		// blocking, also for the one that accepts on it: it would never end.
		fd, err := syscall.Dup(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		f.Close()
		f = os.NewFile(uintptr(fd), "socket")
		t.Cleanup(func() { f.Close() })
		m.files = append(m.files, f)
	}
	return m
}

// launch starts refract with the sockets, as sd_listen_fds(3) says.
func (m *managed) launch(env ...string) *refract {
	m.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0], "serve", "--site", filepath.Join(m.dir, "site"))
	cmd.Env = append(os.Environ(), "REFRACT_TEST_MAIN=1", fmt.Sprint("LISTEN_FDS=", len(m.files)), "LISTEN_FDNAMES="+m.names)
	cmd.Env = append(cmd.Env, env...)
	cmd.ExtraFiles = m.files
	return launch(m.t, m.dir, cmd)
}

// regulars are clients that keep their connections as long as they are let, and
// never send anything twice.
type regulars struct {
	all     sync.WaitGroup
	stop    atomic.Bool
	served  atomic.Int64
	dialled atomic.Int64
	mu      sync.Mutex
	failed  []error       // guarded by mu
	longest time.Duration // that a request took; guarded by mu
}

func newRegulars(addr string, n int) *regulars {
	c := &regulars{}
	for range n {
		c.all.Go(func() { c.run(addr) })
	}
	return c
}

func (c *regulars) run(addr string) {
	var conn net.Conn
	var in *bufio.Reader
	for !c.stop.Load() {
		began := time.Now()
		last, err := func() (bool, error) {
			if conn == nil {
				var err error
				if conn, err = net.Dial("tcp", addr); err != nil {
					return true, err
				}
				in = bufio.NewReader(conn)
				c.dialled.Add(1)
			}
			if _, err := fmt.Fprint(conn, "POST /reports/1/export HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return true, err
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				return true, err
			}
			body, err := io.ReadAll(resp.Body)
			if err == nil && (resp.StatusCode != http.StatusOK || string(body) != "csv") {
				err = errors.New(resp.Status)
			}
			return resp.Close, err
		}()
		c.mu.Lock()
		c.longest = max(c.longest, time.Since(began))
		if err != nil {
			c.failed = append(c.failed, err)
		}
		c.mu.Unlock()
		c.served.Add(1)
		if last && conn != nil {
			conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// more waits until they have been served so many times more.
func (c *regulars) more(t *testing.T, n int64) {
	t.Helper()
	until := c.served.Load() + n
	eventually(t, "requests are served", func() bool { return c.served.Load() >= until })
}

// end stops them and checks that nobody was failed.
func (c *regulars) end(t *testing.T) {
	t.Helper()
	c.stop.Store(true)
	c.all.Wait()
	if len(c.failed) > 0 {
		t.Errorf("%d of %d requests failed: %v", len(c.failed), c.served.Load(), c.failed[0])
	}
}

// A restart under socket activation fails no request: what comes while nobody
// serves waits in the sockets.
func TestRestartUnderLoad(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	m := newManaged(t, dir, "listen")
	r := m.launch()
	r.await()
	if r.edge != "http://"+m.addr {
		t.Fatalf("it serves at %s, want the inherited socket %s", r.edge, m.addr)
	}
	clients := newRegulars(m.addr, 8)
	clients.more(t, 200)
	restarts := 3
	for range restarts { // as systemctl restart does it
		r.stop()
		r = m.launch()
		r.await()
		clients.more(t, 200)
	}
	for range restarts { // the new one is there before the old one is told to end
		next := m.launch()
		eventually(t, "the new one waits for the store", func() bool { return strings.Contains(next.stderr(), "waiting for the process before this one") })
		r.stop()
		next.await()
		r = next
		clients.more(t, 200)
	}
	clients.end(t)
	t.Logf("%d restarts, %d requests by %d connections, the longest took %s", 2*restarts, clients.served.Load(), clients.dialled.Load(), clients.longest)
	r.stop()
}

// What is asked of a process by signals while it starts is done when it serves.
func TestSignalsWhileStarting(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	m := newManaged(t, dir, "listen")
	before := m.launch()
	before.await()
	r := m.launch()
	eventually(t, "the new one waits for the store", func() bool { return strings.Contains(r.stderr(), "waiting for the process before this one") })
	editFile(t, filepath.Join(dir, "site/rules", reportsRule+".yaml"), func(s string) string { return s + "priority: 7\n" })
	r.signal(syscall.SIGHUP)
	r.signal(syscall.SIGUSR1)
	before.stop()
	r.await()
	if s := r.status(); !s.Off || len(s.Switches) != 1 || s.Switches[0].By != bySignal {
		t.Errorf("it is off: %v, by %+v", s.Off, s.Switches)
	}
	eventually(t, "it has reloaded", func() bool { return strings.Contains(r.stderr(), `"msg":"reloaded"`) })
	r.stop()

	// There is nothing to drain yet: the end is the end.
	before = m.launch()
	before.await()
	r = m.launch()
	eventually(t, "the new one waits for the store", func() bool { return strings.Contains(r.stderr(), "waiting for the process before this one") })
	r.signal(syscall.SIGTERM)
	if err := <-r.ended; err == nil {
		t.Error("a process that was ended while it started tells of success")
	}
	before.stop()
}

func TestSocketNames(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	m := newManaged(t, dir, "admin", "listen")
	r := m.launch()
	r.await()
	if r.admin != m.addr || r.edge == "http://"+m.addr {
		t.Errorf("the sockets by name: admin at %s, visitors at %s, want admin at %s", r.admin, r.edge, m.addr)
	}
	r.mustCommand("health")
	r.stop()

	one := newManaged(t, dir, "refract.socket")
	r = one.launch()
	r.await()
	if r.edge != "http://"+one.addr {
		t.Errorf("one socket alone: visitors at %s, want %s", r.edge, one.addr)
	}
	r.stop()

	for names, want := range map[string]string{
		"listen other":  `the socket "other" that refract was started with is for nothing that listens`,
		"listen listen": "two sockets for listen",
	} {
		r := newManaged(t, dir, strings.Fields(names)...).launch()
		<-r.ended
		if code := r.cmd.ProcessState.ExitCode(); code != exitRefused || !strings.Contains(r.stderr(), want) {
			t.Errorf("sockets named %s: exit status %d, %s", names, code, r.stderr())
		}
	}
}

// The service manager is told what goes on, in order.
func TestNotify(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next := func() string {
		t.Helper()
		b := make([]byte, 1000)
		for {
			n, err := conn.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if s := string(b[:n]); s != "WATCHDOG=1" {
				return s
			}
		}
	}
	r := startIn(t, dir, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=3000000")
	if s := next(); s != "READY=1" {
		t.Errorf("at the start it says %q", s)
	}
	r.mustCommand("reload")
	if s := next(); !strings.HasPrefix(s, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("at a reload it says %q", s)
	}
	if s := next(); s != "READY=1" {
		t.Errorf("after a reload it says %q", s)
	}
	b := make([]byte, 1000)
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "WATCHDOG=1" {
		t.Errorf("to the watchdog it says %q, %v", b[:n], err)
	}
	r.signal(syscall.SIGTERM)
	if s := next(); s != "STOPPING=1" {
		t.Errorf("at the end it says %q", s)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}
