package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const idleConns = 10_000

// idle opens idleConns connections to some contestants, each of which makes a
// request and is left open, and prints the memory that they have then. The
// connections come from a hundred addresses of loopback, since a proxy may
// limit those of one.
func (l *bench) idle(ctx context.Context, all []*contestant) error {
	table(fmt.Sprintf("memory with %d idle keep-alive connections", idleConns))
	fmt.Println("| proxy | MB before | MB with them | goal |\n|---|--:|--:|---|")
	for _, c := range all {
		goal := ""
		switch c.title {
		case titleSwap:
			goal = "at most 200 MB"
		case titleSub, titleReverse, titleReplace:
		default:
			continue
		}
		before, err := c.RSS()
		if err != nil {
			return err
		}
		conns, err := open(ctx, c, "/"+l.pages[0].name+".html")
		if err != nil {
			return fmt.Errorf("%s: %w", c.title, err)
		}
		with, err := c.RSS()
		for _, conn := range conns {
			conn.Close()
		}
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f | %.0f | %s |\n", c.title, float64(before)/1e6, float64(with)/1e6, goal)
	}
	return nil
}

// open gives idleConns connections that have had an answer and are all still
// open.
func open(ctx context.Context, c *contestant, path string) ([]net.Conn, error) {
	conns := make([]net.Conn, idleConns)
	errs := make(chan error, idleConns)
	slots := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for i := range conns {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%100))}, Timeout: 10 * time.Second}
			conn, err := from.DialContext(ctx, "tcp", c.Addr)
			if err != nil {
				errs <- err
				return
			}
			conns[i] = conn
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\nAccept-Encoding: identity\r\n\r\n", path, c.cookie)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				errs <- err
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.Close {
				errs <- fmt.Errorf("connection %d was not answered and kept: status %d, %v", i, resp.StatusCode, err)
			}
			resp.Body.Close()
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
		return nil, err
	default:
	}
	closed := 0
	for _, conn := range conns { // a proxy that closed some says so now
		conn.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
		if _, err := conn.Read(make([]byte, 1)); err == io.EOF {
			closed++
		}
	}
	if closed > 0 {
		return conns, fmt.Errorf("%d of %d idle connections were closed", closed, idleConns)
	}
	return conns, nil
}
