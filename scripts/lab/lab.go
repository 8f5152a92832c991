// Package lab starts the programs that a measurement needs, on loopback and in
// a temporary directory, and ends them: the ground of scripts/conformance and
// scripts/peers.
package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lab is a temporary directory and the processes that run in it. It is not
// safe for concurrent use.
type Lab struct {
	Dir   string
	procs []*Process
}

// Run gives f a Lab, which is gone when f returns, or at SIGINT or SIGTERM.
func Run(f func(ctx context.Context, l *Lab) error) error {
	runtime.LockOSThread() // Pdeathsig is about the thread that started a process
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "refract-lab-")
	if err != nil {
		return err
	}
	l := &Lab{Dir: dir}
	defer os.RemoveAll(dir)
	defer l.stopAll()
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers may be another user's
		return err
	}
	return f(ctx, l)
}

func (l *Lab) stopAll() {
	for i := len(l.procs) - 1; i >= 0; i-- {
		l.procs[i].Stop()
	}
}

// Process is a program that the Lab started. Its output is in DIR/NAME.log.
type Process struct {
	Name string
	Addr string // where it listens
	PID  int
	log  string
	done chan struct{} // closed when it has ended
	stop sync.Once
}

// Start runs a program and waits, 30 s at most, until addr takes connections.
func (l *Lab) Start(name, addr string, argv ...string) (*Process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = l.Dir
	// The kernel ends it if this process dies without its defers.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p := &Process{Name: name, Addr: addr, log: filepath.Join(l.Dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log // standard output, such as an access log, is not kept
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.PID = cmd.Process.Pid
	go func() { cmd.Wait(); close(p.done) }()
	l.procs = append(l.procs, p)
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return p, nil
		}
		select {
		case <-p.done:
			return nil, fmt.Errorf("%s ended: %s", name, p.Log())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("%s does not listen at %s: %s", name, addr, p.Log())
		}
	}
}

// Stop ends the process, and if it isn't gone after 5 s, its process group.
func (p *Process) Stop() {
	p.stop.Do(func() {
		syscall.Kill(p.PID, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
			syscall.Kill(-p.PID, syscall.SIGKILL)
			<-p.done
		}
	})
}

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Log is the end of what the process wrote to its standard error.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	s := strings.TrimSpace(string(b))
	if len(s) > 600 {
		s = "…" + s[len(s)-600:]
	}
	return s
}

// CPU is the user and system time that the process, and the children it has,
// took so far, all threads.
func (p *Process) CPU() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.tree() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, f := range fields[11:13] { // utime, stime: proc_pid_stat(5)
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				return 0, err
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
		}
	}
	return sum, nil
}

// RSS is the memory that the process and its children have resident, in bytes.
func (p *Process) RSS() (int64, error) {
	var sum int64
	for _, pid := range p.tree() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0, err
		}
		pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += pages * int64(os.Getpagesize())
	}
	return sum, nil
}

func (p *Process) tree() []int {
	pids := []int{p.PID}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for f := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Addrs is n different addresses of loopback that were free a moment ago.
func Addrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, ln.Addr().String())
		defer ln.Close()
	}
	return addrs, nil
}

// Write makes a file of the Lab, directories included, and gives its path.
func (l *Lab) Write(path, content string) (string, error) {
	path = filepath.Join(l.Dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(content), 0o644)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Output runs a program to its end and gives what it wrote to its standard
// output. A failure tells what it wrote to its standard error. Both go to
// files, so that what the program may leave running holds nothing up.
func Output(ctx context.Context, dir string, argv ...string) (string, error) {
	stdout, err := os.CreateTemp(dir, "stdout")
	if err != nil {
		return "", err
	}
	defer os.Remove(stdout.Name())
	defer stdout.Close()
	stderr, err := os.CreateTemp(dir, "stderr")
	if err != nil {
		return "", err
	}
	defer os.Remove(stderr.Name())
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what it started too
	runErr := cmd.Run()
	out, err := os.ReadFile(stdout.Name())
	if err != nil {
		return "", err
	}
	if runErr != nil {
		said, _ := os.ReadFile(stderr.Name())
		return string(out), fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), runErr, strings.TrimSpace(string(said)))
	}
	return string(out), nil
}
