package front

import (
	"cmp"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// pipe is what bytes go through from one socket to another: splice(2) moves
// them by reference, and needs a pipe for that.
type pipe struct{ r, w int }

const (
	pipeSize = 1 << 20 // what net/http's own use of splice has
	// maxPipes is how many there are at once: who is not root may have 64 of
	// that size, and then only tiny ones. Answers beyond them are copied.
	maxPipes = 32
)

// pipes are the ones that are not in use, all of them empty, and how many there
// are in all.
var pipes struct {
	free sync.Pool
	open atomic.Int32
}

// newPipe returns an empty pipe, or nil.
func newPipe() *pipe {
	if p, ok := pipes.free.Get().(*pipe); ok {
		return p
	}
	if pipes.open.Add(1) > maxPipes {
		pipes.open.Add(-1)
		return nil
	}
	var fds [2]int
	if syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK) != nil {
		pipes.open.Add(-1)
		return nil // too few file descriptors, as a rule
	}
	p := &pipe{fds[0], fds[1]}
	runtime.AddCleanup(p, closePipe, *p)
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(p.w), syscall.F_SETPIPE_SZ, pipeSize) // or it stays smaller
	return p
}

func closePipe(p pipe) {
	_ = syscall.Close(p.r)
	_ = syscall.Close(p.w)
	pipes.open.Add(-1)
}

const spliceFlags = 0x1 | 0x2 // SPLICE_F_MOVE and SPLICE_F_NONBLOCK: linux/splice.h

// splice sends what src has, to its end, without copying it. It returns handled
// false, and has taken nothing, where that can't be. It calls lost where the
// visitor is why it fails: of its own writes, Go's server would find out.
func (c *conn) splice(src rawReader, lost func()) (n int64, handled bool, err error) {
	socket, ok := c.raw.(syscall.Conn)
	if !ok || !src.Raw() {
		return 0, false, nil
	}
	to, err := socket.SyscallConn()
	if err != nil {
		return 0, false, nil
	}
	p := newPipe()
	if p == nil {
		return 0, false, nil
	}
	held := 0 // in the pipe
	defer func() {
		if held == 0 {
			pipes.free.Put(p)
		} // else it goes, with what is in it
	}()
	for {
		m, rerr := src.ReadRaw(func(fd uintptr, most int64) (int64, error) {
			return spliceOnce(int(fd), p.w, int(min(most, pipeSize)))
		})
		held = int(m)
		for w := c.writing(); held > 0; {
			var m int64
			werr := error(nil)
			err := to.Write(func(fd uintptr) bool {
				m, werr = spliceOnce(p.r, int(fd), held)
				return werr != syscall.EAGAIN
			})
			held -= int(m)
			n += m
			if err = cmp.Or(err, werr); err == nil {
				w = c.writing()
			} else if !w.goesOn(int(m), err) {
				lost()
				return n, true, err
			}
		}
		switch {
		case rerr == io.EOF:
			return n, true, nil
		case rerr == syscall.EINVAL && n == 0:
			return 0, false, nil // not from this kind of socket
		case rerr != nil:
			return n, true, rerr
		}
	}
}

func spliceOnce(from, to, most int) (int64, error) {
	for {
		n, err := syscall.Splice(from, nil, to, nil, most, spliceFlags)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
