// A tuned httputil.ReverseProxy: what a Go program gets without effort, one of
// the peers of scripts/bench-peers.
//
//	reverseproxy LISTEN ORIGIN
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// buffers are what bodies are copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte    { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reverseproxy LISTEN ORIGIN")
	}
	origin := &url.URL{Scheme: "http", Host: os.Args[2]}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(origin)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{
			MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, IdleConnTimeout: 90 * time.Second,
			DisableCompression: true, WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10,
		},
		BufferPool: &buffers{sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}},
	}
	log.Fatal((&http.Server{Addr: os.Args[1], Handler: proxy, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe())
}
