package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// origin is an app made for the checks: it tells what reaches it, and answers
// in ways that servers seldom do. It counts what it was asked.
type origin struct {
	addr string
	seen chan string // "METHOD PATH", of each request; what nobody takes is dropped
}

const html = "<!DOCTYPE html><title>App</title><div data-surface=\"top\">old</div><p>the rest</p>\n"

func (s *suite) startOrigin() (*origin, func(), error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	o := &origin{addr: ln.Addr().String(), seen: make(chan string, 4096)}
	server := &http.Server{Handler: o, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(ln)
	return o, func() { server.Close() }, nil
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case o.seen <- r.Method + " " + r.URL.Path:
	default:
	}
	switch r.URL.Path {
	case "/page":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("ETag", `"app-1"`)
		w.Header().Set("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
		w.Header().Set("Cache-Control", r.URL.Query().Get("cache"))
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(html))
	case "/echo":
		w.Header().Set("Content-Type", "text/plain")
		if strings.HasPrefix(r.Header.Get("Te"), "trailers") {
			r.Header.Del("Te") // that a proxy may send on
		}
		fmt.Fprintf(w, "%s %s\n", r.Method, r.RequestURI)
		r.Header.Set("Host", r.Host)
		r.Header.Write(w)
		io.Copy(w, r.Body)
	case "/long":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", fmt.Sprint(len(long())))
		io.WriteString(w, long())
	case "/long-chunked":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, long())
	case "/long-gzip":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, long())
		z.Close()
	case "/cookies":
		for _, c := range []string{"a=1; Path=/", "b=2; Expires=Mon, 02 Nov 2037 10:00:00 GMT", "a=3; Path=/x"} {
			w.Header().Add("Set-Cookie", c)
		}
	case "/hints":
		w.Header().Set("Link", "</style.css>; rel=preload; as=style")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "after the hints")
	case "/trailers":
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "4")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "yes")
	case "/204", "/304":
		status := http.StatusNoContent
		if r.URL.Path == "/304" {
			w.Header().Set("ETag", `"app-1"`)
			status = http.StatusNotModified
		}
		w.WriteHeader(status)
	case "/cut", "/half": // less than was promised, and then: the end; nothing
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", "100000")
		io.WriteString(w, html)
		w.(http.Flusher).Flush()
		if r.URL.Path == "/half" {
			<-r.Context().Done()
			return
		}
		panic(http.ErrAbortHandler)
	case "/cut-reset":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n%s", html)
		time.Sleep(200 * time.Millisecond) // else the reset overtakes it
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	case "/cut-chunked":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, html)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "/drain":
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d", n)
	case "/large":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(16<<20))
		chunk := make([]byte, 64<<10)
		for range 256 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case "/large-header":
		w.Header().Set("X-Large", strings.Repeat("x", 300<<10))
	case "/seen":
	default:
		io.WriteString(w, r.RequestURI)
	}
}

// raw sends bytes to addr and gives the status of the first response, or how
// the connection ended, and whether it was closed after that.
func raw(addr, request string) (status string, closed bool) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err.Error(), true
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, request)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return "no response: " + err.Error(), true
	}
	io.Copy(io.Discard, resp.Body)
	conn.SetDeadline(time.Now().Add(500 * time.Millisecond))
	_, err = in.ReadByte()
	timeout, ok := err.(net.Error)
	return fmt.Sprint(resp.StatusCode), err != nil && !(ok && timeout.Timeout())
}
