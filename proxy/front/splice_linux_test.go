package front

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// socketBody is so much as left of what comes in on a socket.
type socketBody struct {
	t    *testing.T
	conn net.Conn
	left int64
}

func (b *socketBody) Raw() bool { return true }

func (b *socketBody) Read([]byte) (int, error) {
	b.t.Error("the body is read into a buffer")
	return 0, io.ErrUnexpectedEOF
}

func (b *socketBody) ReadRaw(take func(fd uintptr, most int64) (int64, error)) (n int64, err error) {
	raw, rerr := b.conn.(syscall.Conn).SyscallConn()
	if rerr != nil {
		return 0, rerr
	}
	rerr = raw.Read(func(fd uintptr) bool {
		n, err = take(fd, b.left)
		return !errors.Is(err, syscall.EAGAIN)
	})
	switch b.left -= n; {
	case rerr != nil:
		return n, rerr
	case err == nil && b.left == 0:
		return n, io.EOF
	case err == nil && n == 0:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestSplice has bodies go from a socket to the client's: whole, in order, and
// broken off where the socket is.
func TestSplice(t *testing.T) {
	content := make([]byte, 5<<20)
	chacha := rand.NewChaCha8([32]byte{1})
	_, _ = chacha.Read(content)
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "s")
			}
			l, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						_, _ = c.Write(content) // who reads only a part closes it
						_ = c.Close()
					}()
				}
			}()
			ended := make(chan error, 100)
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				length, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
				w.Header().Set("Content-Length", strconv.Itoa(length))
				w.WriteHeader(http.StatusOK)
				head := make([]byte, 4<<10) // Go's server writes the header with so much
				if _, err := io.ReadFull(c, head); err != nil {
					t.Error(err)
				}
				_, _ = w.Write(head)
				n, err := w.(io.ReaderFrom).ReadFrom(&socketBody{t, c, int64(length - len(head))})
				if err == nil && n != int64(length-len(head)) {
					t.Errorf("%d bytes of %d", n, length)
				}
				if ended <- err; err != nil {
					panic(http.ErrAbortHandler)
				}
			})
			e := start(t, &Server{Log: quiet(), Handler: handler}, Settings{Limits: limits})
			refused := make(chan Reason, 100)
			short := limits
			short.Progress = 100 * time.Millisecond
			impatient := start(t, &Server{Log: quiet(), Refused: func(r Reason) { refused <- r }, Handler: handler}, Settings{Limits: short})
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			get := func(length int) ([]byte, error) {
				resp, err := client.Get(fmt.Sprintf("http://%s/%d", e.plain, length))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				return io.ReadAll(resp.Body)
			}
			whole := func() {
				t.Helper()
				for _, length := range []int{len(content), 200_000, 4<<10 + 1} {
					got, err := get(length)
					if err != nil || <-ended != nil || sha256.Sum256(got) != sha256.Sum256(content[:length]) {
						t.Errorf("%d bytes of %d, %v, or others", len(got), length, err)
					}
				}
			}
			whole()
			got, err := get(len(content) + 1) // the socket ends before
			if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, content) || !errors.Is(<-ended, io.ErrUnexpectedEOF) {
				t.Errorf("broken off after %d bytes: %v", len(got), err)
			}
			// A client that takes nothing is given up, and what it did not take
			// gets to nobody else.
			c, err := net.Dial("tcp", impatient.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", len(content))
			if why, err := <-refused, <-ended; why != ReasonProgress || err == nil {
				t.Errorf("given up for %s, %v", why, err)
			}
			whole()
		})
	}
}
