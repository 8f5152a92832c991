//go:build !unix

package origin

import "syscall"

// probe can't tell here whether a connection still stands: a request that
// fails on one is sent again where that is safe.
type probe struct{ raw syscall.RawConn }

func (*probe) bind(syscall.Conn) {}

func (*probe) silent() bool { return true }
