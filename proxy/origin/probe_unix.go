//go:build unix

package origin

import "syscall"

// probe looks whether anything has come in on a socket, without waiting and
// without taking it.
type probe struct {
	raw  syscall.RawConn // nil: it can't be told
	look func(fd uintptr)
	err  error
	b    [1]byte
}

func (p *probe) bind(c syscall.Conn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	p.raw = raw
	p.look = func(fd uintptr) {
		_, _, p.err = syscall.Recvfrom(int(fd), p.b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
}

// silent says that the connection stands and that nothing has come in. A
// deadline that has passed does not matter to it.
func (p *probe) silent() bool {
	return p.raw.Control(p.look) == nil && (p.err == syscall.EAGAIN || p.err == syscall.EINTR)
}
