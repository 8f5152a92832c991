package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// copied is a body that does not come from a socket.
type copied struct{ io.Reader }

func (copied) Raw() bool                                                  { return false }
func (copied) ReadRaw(func(uintptr, int64) (int64, error)) (int64, error) { panic("it is not raw") }

// TestCopiedIsNotHeld: a body that can't go without a buffer is not held in one
// while more of it is awaited.
func TestCopiedIsNotHeld(t *testing.T) {
	const head, pieces = 4 << 10, 5
	body, source := io.Pipe()
	e := start(t, &Server{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(head+pieces))
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, strings.Repeat("x", head))
		if n, err := w.(io.ReaderFrom).ReadFrom(copied{body}); n != pieces || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})}, Settings{Limits: limits})
	c, err := net.Dial("tcp", e.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, head); err != nil {
		t.Fatal(err)
	}
	for range pieces {
		_, _ = source.Write([]byte("y"))
		b := make([]byte, 1)
		if _, err := io.ReadFull(resp.Body, b); err != nil || b[0] != 'y' {
			t.Fatalf("%q, %v", b, err)
		}
	}
	_ = source.Close()
}
