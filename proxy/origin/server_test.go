package origin

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })}
	defer srv.Close()
	go func() { _ = srv.Serve(l) }()
	tr := to(t, "unix:"+path)
	req := get(t, "/")
	req.Host = "shop.example"
	ok(t, tr, req, "shop.example")
	req = get(t, "/")
	req.Host = ""
	ok(t, tr, req, "localhost")
	if s := tr.State()[0]; s.Connections != 1 || s.Server != "unix:"+path {
		t.Errorf("%+v", s)
	}
}

// TestTLS: the server is known by its certificate, and we by ours.
func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" "+r.TLS.ServerName)
	}))
	srv.Config.ErrorLog = nil
	srv.EnableHTTP2 = true // which we don't speak, and so must not agree on
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.Config.ErrorLog = discardLog()
	srv.StartTLS()
	defer srv.Close()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write("ca.pem", "CERTIFICATE", srv.Certificate().Raw)
	write("key.pem", "PRIVATE KEY", key)
	write("empty.pem", "NOTHING", nil)
	whole := rules.OriginTLS{Name: "example.com", CA: "ca.pem", Cert: "ca.pem", Key: "key.pem"}
	for _, test := range []struct {
		name   string
		change func(*rules.OriginTLS)
		want   string // "": an error
	}{
		{"all right", func(*rules.OriginTLS) {}, "HTTP/1.1 example.com"},
		{"name of the address", func(o *rules.OriginTLS) { o.Name = "" }, "HTTP/1.1 "},
		{"insecure", func(o *rules.OriginTLS) { o.CA, o.Name, o.Insecure = "", "other.example", true }, "HTTP/1.1 other.example"},
		{"wrong name", func(o *rules.OriginTLS) { o.Name = "other.example" }, ""},
		{"unknown authority", func(o *rules.OriginTLS) { o.CA = "" }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := servers(srv.URL)
			o.TLS = whole
			test.change(&o.TLS)
			tr := transport(t, Config{Origins: []rules.Origin{o}, Dir: dir})
			if test.want != "" {
				ok(t, tr, get(t, "/"), test.want)
				ok(t, tr, get(t, "/"), test.want)
				if s := tr.State()[0]; s.Connections != 1 {
					t.Errorf("%+v", s)
				}
				return
			}
			_, _, err := fetch(tr, get(t, "/"))
			var e *Error
			if !errors.As(err, &e) || e.Op != Connect {
				t.Errorf("%v", err)
			}
		})
	}
	for name, o := range map[string]rules.OriginTLS{
		"missing":        {CA: "none.pem"},
		"no certificate": {CA: "empty.pem"},
		"no key":         {Cert: "ca.pem"},
		"not a key":      {Cert: "ca.pem", Key: "ca.pem"},
	} {
		if _, err := New(Config{Origins: []rules.Origin{{To: []string{srv.URL}, TLS: o}}, Dir: dir, Log: quiet()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, address := range []string{"", "app:80", "//app", "ftp://app", "unix:", "http://"} {
		if _, err := New(Config{Origins: []rules.Origin{servers(address)}, Log: quiet()}); err == nil || !strings.Contains(err.Error(), "hint: ") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// reverse is a proxy over a transport, as package proxy has it.
func reverse(t *testing.T, tr http.RoundTripper) *httptest.Server {
	u := &url.URL{Scheme: "http", Host: "placeholder"}
	p := &httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(u); pr.Out.Host = pr.In.Host },
		Transport: tr, ErrorLog: discardLog(),
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		duplex(w)
		p.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// duplex keeps Go's server from reading the rest of a request's body itself
// when the response begins.
func duplex(w http.ResponseWriter) { _ = http.NewResponseController(w).EnableFullDuplex() }

// TestUpgrade: after a 101 the connection is the two parties', bytes that came
// with the head included, and each can end its direction alone.
func TestUpgrade(t *testing.T) {
	address := raw(t, func(c *wire, n int) {
		if req := c.request(); req == nil || req.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%+v", req)
		}
		c.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst,")
		b, err := io.ReadAll(c.r) // to the client's end
		if err != nil {
			t.Error(err)
		}
		c.send("after the end: " + string(b))
	})
	tr := to(t, address)
	srv := reverse(t, tr)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	if s := tr.State()[0]; s.InFlight != 1 {
		t.Errorf("%+v", s)
	}
	_, _ = io.WriteString(c, "hello")
	_ = c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(r)
	if string(b) != "first,after the end: hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	for s := tr.State()[0]; s.InFlight != 0 || s.Connections != 0; s = tr.State()[0] {
		runtime.Gosched() // ReverseProxy closes it on a goroutine
	}
}

// TestThroughReverseProxy: what a client gets through ReverseProxy, with
// interim responses, trailers and an end that is none.
func TestThroughReverseProxy(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/trailers":
			w.Header().Set("Trailer", "Announced")
			_, _ = io.WriteString(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set("Announced", "1")
			w.Header().Set(http.TrailerPrefix+"Unannounced", "2")
		case "/abort":
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/echo":
			duplex(w)
			_, _ = io.Copy(w, r.Body)
		}
	}))
	defer app.Close()
	tr := to(t, app.URL)
	srv := reverse(t, tr)
	client := &http.Transport{DisableCompression: true}
	defer client.CloseIdleConnections()
	at := func(path string) *http.Request {
		req := get(t, path)
		req.URL.Host = srv.Listener.Addr().String()
		return req
	}
	resp := ok(t, client, at("/trailers"), "body")
	if resp.Trailer.Get("Announced") != "1" || resp.Trailer.Get("Unannounced") != "2" {
		t.Errorf("%v", resp.Trailer)
	}
	if _, body, err := fetch(client, at("/abort")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an abort comes out as %q, %v", body, err)
	}
	big := strings.Repeat("0123456789", 5_000)
	for _, length := range []int64{int64(len(big)), -1} {
		req := at("/echo")
		req.Method, req.Body, req.ContentLength = "PUT", io.NopCloser(strings.NewReader(big)), length
		ok(t, client, req, big)
	}
}
