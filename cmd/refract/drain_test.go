package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func setShutdown(t *testing.T, dir, value string) {
	t.Helper()
	editFile(t, filepath.Join(dir, "site/refract.yaml"), func(s string) string { return s + "shutdown: " + value + "\n" })
}

// While the delay lasts, it is not ready and serves all the same: also those
// who come now.
func TestDrainDelay(t *testing.T) {
	dir := newSite(t, "../../testdata/sites/loop", newApp(t).URL)
	setShutdown(t, dir, "{delay: 1h}")
	r := start(t, dir)
	r.get("/reports", "ann")
	r.signal(syscall.SIGTERM)
	eventually(t, "not ready", func() bool {
		status, body := r.ask(http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable && body == "draining\n"
	})
	status, body := r.ask(http.MethodGet, "/readyz?verbose", nil)
	want := "config: ok: revision " + r.status().Revision + "\norigins: ok\nstore: ok\ndrain: failed: draining\n"
	if status != http.StatusServiceUnavailable || body != want {
		t.Errorf("verbose: %d %q, want %q", status, body, want)
	}
	if out, _, code := r.command("health"); code != exitRefused || out != want {
		t.Errorf("health: exit status %d, %q", code, out)
	}
	if status, _ := r.ask(http.MethodGet, "/healthz", nil); status != http.StatusOK {
		t.Errorf("healthy while draining: %d", status)
	}
	for range 2 { // on the connection from before, and on a new one
		resp, body := r.do(http.MethodGet, "/reports", "ann", nil)
		if resp.StatusCode != http.StatusOK || body != reportsPage || !resp.Close {
			t.Errorf("while draining: %s, %q, connection closed: %t", resp.Status, body, resp.Close)
		}
	}
	r.signal(syscall.SIGUSR1) // what turns treatment off still does
	eventually(t, "off while draining", func() bool { return r.status().Off })

	// A second signal ends it. Nothing was in flight, so nothing was given up.
	r.signal(syscall.SIGINT)
	if err := <-r.ended; err != nil {
		t.Errorf("after a second signal, with nothing in flight: %v", err)
	}
	r.http.CloseIdleConnections()
}

func TestSecondSignal(t *testing.T) {
	h := newHanging(t)
	defer close(h.release)
	r := start(t, newSite(t, "../../testdata/sites/loop", h.URL))
	got := h.hang(r)
	r.signal(syscall.SIGINT)
	eventually(t, "draining", func() bool {
		status, _ := r.ask(http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable
	})
	r.signal(syscall.SIGINT)
	<-r.ended
	if code := r.cmd.ProcessState.ExitCode(); code != exitRefused {
		t.Errorf("exit status %d, want %d", code, exitRefused)
	}
	if log := r.stderr(); !strings.Contains(log, "refract: ended at once by a second signal: requests in flight were given up") {
		t.Errorf("standard error does not say why:\n%s", log)
	}
	if got := <-got; strings.HasPrefix(got, "200") {
		t.Errorf("who was given up gets %q", got)
	}
}

func TestDrainDeadline(t *testing.T) {
	h := newHanging(t)
	defer close(h.release)
	dir := newSite(t, "../../testdata/sites/loop", h.URL)
	setShutdown(t, dir, "{deadline: 1s}")
	r := start(t, dir)
	got := h.hang(r)
	r.signal(syscall.SIGTERM)
	if err := <-r.ended; err != nil {
		t.Errorf("ended by its deadline: %v", err)
	}
	if log := r.stderr(); !strings.Contains(log, `"msg":"drain cut short by its deadline","requests":1`) {
		t.Errorf("the log does not say what was given up:\n%s", log)
	}
	<-got
}

// An upgraded connection has the time of a request.
func TestDrainTunnel(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		_, _ = io.Copy(conn, rw) // an echo, until the visitor ends it
	}))
	defer app.Close()
	r := start(t, newSite(t, "../../testdata/sites/loop", app.URL))
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.edge, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "GET /live HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	echoes := func(line string) {
		t.Helper()
		fmt.Fprintln(conn, line)
		if got, err := in.ReadString('\n'); err != nil || got != line+"\n" {
			t.Fatalf("the tunnel echoes %q, %v", got, err)
		}
	}
	echoes("before")
	r.signal(syscall.SIGTERM)
	address := strings.TrimPrefix(r.edge, "http://")
	eventually(t, "the listener is closed", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	echoes("while draining")
	conn.Close()
	if err := <-r.ended; err != nil {
		t.Errorf("after the tunnel's end: %v", err)
	}
}

// Who reads standard error may stall: requests go on, and so does the end.
func TestStalledLog(t *testing.T) {
	app := newApp(t)
	app.Close() // each request is worth a line
	dir := newSite(t, "../../testdata/sites/loop", app.URL)
	cmd := serveCommand(dir)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	lines := bufio.NewReader(read)
	var rec struct{ Msg, Listen string }
	for rec.Msg != "serving" {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(line, &rec); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	// From here on nobody reads.
	client := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	get := func() {
		t.Helper()
		resp, err := client.Get("http://" + rec.Listen + "/reports/" + strings.Repeat("x", 4000))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusBadGateway {
			t.Fatalf("%s, %v", resp.Status, err)
		}
	}
	for range 600 { // 2.4 MB: more than a pipe holds, and than is kept for it
		get()
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}
