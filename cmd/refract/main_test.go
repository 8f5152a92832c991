package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed14307185/refract/console"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The test binary is the command, with one addition: a clock that a test can
// put forward by writing a duration to a file.
func TestMain(m *testing.M) {
	switch os.Getenv("REFRACT_TEST_MAIN") {
	case "1":
		os.Exit(testMain())
	case "origin":
		os.Exit(benchOrigin())
	case "bare":
		os.Exit(benchBare())
	case "small":
		os.Exit(smallOrigin())
	}
	testscript.Main(m, map[string]func(){"refract": func() { os.Exit(testMain()) }})
}

func testMain() int {
	return run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, shiftedClock(os.Getenv("REFRACT_TEST_CLOCK")))
}

// shiftedClock is the machine's clock put forward by what the file says.
func shiftedClock(file string) func() time.Time {
	if file == "" {
		return time.Now
	}
	return func() time.Time {
		if b, err := os.ReadFile(file); err == nil {
			if d, err := time.ParseDuration(string(b)); err == nil {
				return time.Now().Add(d)
			}
		}
		return time.Now()
	}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "encoded": encoded, "decoded": decoded},
	})
}

// exits is "exits CODE ARGS...": refract run with these arguments ends with
// exactly this exit status. stdout and stderr check what it printed.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	err := ts.Exec("refract", args[1:]...)
	var exit *exec.ExitError
	code := 0
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		ts.Fatalf("refract: %v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("refract %s: exit status %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// refract is a running refract serve.
type refract struct {
	t     testing.TB
	dir   string // with site, data and the clock's file
	cmd   *exec.Cmd
	edge  string // base URL of the visitors' listener
	admin string // host and port
	tls   string // the same, if it serves over TLS
	http  *http.Client
	ended chan error

	serving chan bool

	mu  sync.Mutex
	log bytes.Buffer // what it wrote to standard error; guarded by mu
}

// newSite copies a site directory and points it at an origin, with ports of
// the system's choice.
func newSite(t testing.TB, from, origin string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "site"), os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	editFile(t, filepath.Join(dir, "site", "refract.yaml"), func(s string) string {
		var kept []string
		for line := range strings.Lines(s) {
			key, _, _ := strings.Cut(line, ":")
			switch key {
			case "listen", "admin", "origin", "data":
			default:
				kept = append(kept, line)
			}
		}
		return fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: %s\ndata: %s\n", origin, filepath.Join(dir, "data")) + strings.Join(kept, "")
	})
	return dir
}

func editFile(t testing.TB, name string, edit func(string) string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	after := edit(string(b))
	if after == string(b) {
		t.Fatalf("the edit changes nothing in %s", name)
	}
	if err := os.WriteFile(name, []byte(after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts refract serve on a directory of newSite and returns when it
// serves. It is killed at the end of the test if it still runs.
func start(t testing.TB, dir string) *refract {
	t.Helper()
	return startIn(t, dir, "REFRACT_TEST_CLOCK="+filepath.Join(dir, "clock"))
}

// startIn is start with variables of the environment.
func startIn(t testing.TB, dir string, env ...string) *refract {
	t.Helper()
	r := launch(t, dir, serveCommand(dir, env...))
	r.await()
	return r
}

func serveCommand(dir string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "serve", "--site", filepath.Join(dir, "site"))
	cmd.Env = append(append(os.Environ(), "REFRACT_TEST_MAIN=1"), env...)
	return cmd
}

// launch starts a command that runs refract serve. It does not wait until it
// serves: await does.
func launch(t testing.TB, dir string, cmd *exec.Cmd) *refract {
	t.Helper()
	r := &refract{t: t, dir: dir, cmd: cmd, ended: make(chan error, 1), serving: make(chan bool, 1)}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	access, err := os.OpenFile(filepath.Join(dir, "access.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer access.Close()
	r.cmd.Stdout = access
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var rec struct{ Msg, Listen, Admin, TLS string }
			if json.Unmarshal(lines.Bytes(), &rec) == nil && rec.Msg == "serving" {
				r.edge, r.admin, r.tls = "http://"+rec.Listen, rec.Admin, rec.TLS
				r.serving <- true
			}
			r.mu.Lock()
			r.log.Write(append(lines.Bytes(), '\n'))
			r.mu.Unlock()
		}
		close(r.serving)
		r.ended <- r.cmd.Wait()
	}()
	// One connection: what a response made happen is under way before the next
	// request is read.
	r.http = &http.Client{
		Transport:     &http.Transport{MaxConnsPerHost: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			r.kill()
		}
		if t.Failed() {
			t.Logf("standard error of refract serve:\n%s", r.stderr())
		}
	})
	return r
}

// await returns when it serves.
func (r *refract) await() {
	r.t.Helper()
	if !<-r.serving {
		r.t.Fatalf("refract serve ended: %s", r.stderr())
	}
}

func (r *refract) stderr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// kill is kill -9.
func (r *refract) kill() {
	_ = r.cmd.Process.Kill() // it may have ended by itself
	<-r.ended
	r.http.CloseIdleConnections()
}

// stop asks it to end, and checks that it ends well.
func (r *refract) stop() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	r.http.CloseIdleConnections()
	if err := <-r.ended; err != nil {
		r.t.Fatalf("refract serve ended with %v: %s", err, r.stderr())
	}
}

// at puts the clock forward, to a time after the machine's.
func (r *refract) at(d time.Duration) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "clock.new"), []byte(d.String()), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, "clock.new"), filepath.Join(r.dir, "clock")); err != nil {
		r.t.Fatal(err)
	}
}

// do sends a request as a visitor, and returns the response and its body.
func (r *refract) do(method, path, visitor string, body io.Reader, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.edge+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	if visitor != "" {
		req.Header.Set("Cookie", "user="+visitor)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(b)
}

func (r *refract) get(path, visitor string) string {
	r.t.Helper()
	_, body := r.do(http.MethodGet, path, visitor, nil)
	return body
}

// send sends a message to the Segment mount. What was handed over before is on
// disk when it returns.
func (r *refract) send(call string, message map[string]any) {
	r.t.Helper()
	b, err := json.Marshal(message)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, body := r.do(http.MethodPost, ingestMounts+"segment/v1/"+call, "", bytes.NewReader(b), "Authorization", "Basic dGVzdC1rZXk6")
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s %s", call, resp.Status, body)
	}
}

func (r *refract) settle() {
	r.t.Helper()
	r.send("track", map[string]any{"event": "Settled", "userId": "nobody"})
}

// command runs another refract command against this one.
func (r *refract) command(args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	var out, errOut bytes.Buffer
	args = append(args, "--admin", r.admin)
	code = run(context.Background(), args, strings.NewReader(""), &out, &errOut, time.Now)
	return out.String(), errOut.String(), code
}

// mustCommand is command for one that must succeed.
func (r *refract) mustCommand(args ...string) string {
	r.t.Helper()
	out, errOut, code := r.command(args...)
	if code != exitOK {
		r.t.Fatalf("refract %s: exit status %d: %s", strings.Join(args, " "), code, errOut)
	}
	return out
}

// rule returns how a rule stands.
func (r *refract) rule(name string) console.RuleStatus {
	r.t.Helper()
	var list []console.RuleStatus
	if err := json.Unmarshal([]byte(r.mustCommand("report", name, "--json")), &list); err != nil {
		r.t.Fatal(err)
	}
	return list[0]
}
