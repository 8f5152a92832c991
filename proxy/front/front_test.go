package front

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// edge is a server that runs on loopback.
type edge struct {
	plain, secure string
	client        *tls.Config // that trusts the server's certificate
}

// start serves until the test ends: over TLS and QUIC too, on one port, if s has
// a certificate.
func start(t testing.TB, s *Server, settings Settings) *edge {
	t.Helper()
	e := &edge{}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.plain = plain.Addr().String()
	var secure net.Listener
	var quic net.PacketConn
	if s.TLS != nil {
		if secure, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		e.secure = secure.Addr().String()
		if quic, err = net.ListenPacket("udp", e.secure); err != nil {
			t.Fatal(err)
		}
		root, err := x509.ParseCertificate(s.TLS.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		e.client = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}
		e.client.RootCAs.AddCert(root)
	}
	s.Use(settings)
	done := make(chan error, 1)
	go func() { done <- s.Serve(plain, secure, quic) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return e
}

// certificate is one for example.com.
func certificate(t testing.TB) *tls.Config {
	ts := httptest.NewTLSServer(nil)
	defer ts.Close()
	return &tls.Config{Certificates: ts.TLS.Certificates}
}

func (e *edge) over(version int) http.RoundTripper {
	if version == 3 {
		return &http3.Transport{TLSClientConfig: e.client}
	}
	return &http.Transport{TLSClientConfig: e.client, ForceAttemptHTTP2: version == 2}
}

// TestVersions has a round trip over each version of HTTP, and what the edge
// adds to it.
func TestVersions(t *testing.T) {
	refused := make(chan Reason, 100)
	s := &Server{
		Log: quiet(), TLS: certificate(t), Refused: func(r Reason) { refused <- r },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/own" {
				w.Header().Set("Strict-Transport-Security", "max-age=1")
				w.Header().Set("Alt-Svc", "clear")
				w.Header().Set("Transfer-Encoding", "chunked")
				w.Header().Set("Keep-Alive", "timeout=5")
				return // without a write
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "%s %s %s %v %q %s", r.Method, r.RequestURI, r.Proto, r.TLS != nil, r.Header["X_forwarded_for"], bytes.ToUpper(body))
		}),
	}
	e := start(t, s, Settings{Limits: limits, HSTS: time.Hour})
	for version := range 4 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			base, secure := "https://"+e.secure, version > 0
			if !secure {
				base = "http://" + e.plain
			}
			rt := e.over(version)
			defer func() {
				if c, ok := rt.(io.Closer); ok {
					_ = c.Close()
				} else {
					rt.(*http.Transport).CloseIdleConnections()
				}
			}()
			do := func(method, target, body string, change func(*http.Request)) *http.Response {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), method, base+target, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if change != nil {
					change(r)
				}
				resp, err := rt.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = resp.Body.Close() })
				return resp
			}
			resp := do("POST", "/a//b?c=%20", strings.Repeat("x", 100_000), func(r *http.Request) { r.Header.Set("X_Forwarded_For", "1.2.3.4") })
			got, err := io.ReadAll(resp.Body)
			proto := "HTTP/1.1"
			if version > 1 {
				proto = fmt.Sprintf("HTTP/%d.0", version)
			}
			if want := fmt.Sprintf("POST /a//b?c=%%20 %s %v [] %s", proto, secure, strings.Repeat("X", 100_000)); string(got) != want || err != nil {
				t.Errorf("got %.100s, %v\nwant %.100s", got, err, want)
			}
			hsts, alt := "", ""
			if secure {
				hsts = "max-age=3600"
			}
			if version == 1 || version == 2 {
				_, port, _ := net.SplitHostPort(e.secure)
				alt = `h3=":` + port + `"; ma=86400`
			}
			if h := resp.Header; h.Get("Strict-Transport-Security") != hsts || h.Get("Alt-Svc") != alt {
				t.Errorf("headers: %v", h)
			}
			if h := do("GET", "/own", "", nil).Header; len(h["Strict-Transport-Security"]) != 1 || h.Get("Strict-Transport-Security") != "max-age=1" || h.Get("Alt-Svc") != "clear" {
				t.Errorf("the app's own headers became %v", h)
			}
			for _, c := range []struct {
				status int
				method string
				change func(*http.Request)
			}{
				{http.StatusMethodNotAllowed, "TRACE", nil},
				{http.StatusRequestHeaderFieldsTooLarge, "GET", func(r *http.Request) {
					for i := range 101 {
						r.Header.Set(fmt.Sprint("X-", i), "a")
					}
				}},
			} {
				if got := do(c.method, "/", "", c.change).StatusCode; got != c.status {
					t.Errorf("answered with %d, not %d", got, c.status)
				}
				<-refused
			}
		})
	}
	if status, _ := send(t, e.plain, "OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); status != 200 {
		t.Errorf("OPTIONS * is answered with %d", status)
	}
	if status, _ := send(t, e.plain, "\r\nGET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); status != 200 {
		t.Errorf("behind an empty line, a request is answered with %d", status)
	}
	if status, _ := send(t, e.secure, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); status != 400 {
		t.Errorf("without TLS on its port, a request is answered with %d", status)
	}
}

// TestALPN is a handshake for its own sake, as ACME's challenge is.
func TestALPN(t *testing.T) {
	config := certificate(t)
	config.NextProtos = []string{"h2", "http/1.1", "acme-tls/1"}
	s := &Server{Log: quiet(), TLS: config, Handler: http.NotFoundHandler()}
	e := start(t, s, Settings{Limits: limits})
	e.client.NextProtos = []string{"acme-tls/1"}
	conn, err := tls.Dial("tcp", e.secure, e.client)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "acme-tls/1" {
		t.Errorf("agreed on %q", got)
	}
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestRedirect(t *testing.T) {
	s := &Server{Log: quiet(), TLS: certificate(t), Handler: http.NotFoundHandler(), Plain: Redirect("443")}
	e := start(t, s, Settings{Limits: limits})
	for _, c := range []struct{ request, status, location string }{
		{"GET /a//b/%2e%2E/..?x=%zz;y HTTP/1.1\r\nHost: example.com:8080", "301", "https://example.com/a//b/%2e%2E/..?x=%zz;y"},
		{"HEAD / HTTP/1.0\r\nHost: example.com", "301", "https://example.com/"},
		{"POST //evil.example/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0", "308", "https://example.com//evil.example/"},
		{"GET http://example.org:81?q HTTP/1.1\r\nHost: example.com", "301", "https://example.org/?q"},
		{"GET http://example.org/p HTTP/1.1\r\nHost: example.com", "301", "https://example.org/p"},
		{"GET / HTTP/1.1\r\nHost: [::1]:8080", "301", "https://[::1]/"},
		{"GET / HTTP/1.1\r\nHost: [::1]", "301", "https://[::1]/"},
		{"GET / HTTP/1.0", "400", ""},
	} {
		conn := dial(t, e.plain)
		_, _ = io.WriteString(conn, c.request+"\r\nConnection: close\r\n\r\n")
		all, err := io.ReadAll(conn)
		_, location, _ := strings.Cut(string(all), "\r\nLocation: ")
		location, _, _ = strings.Cut(location, "\r\n")
		if !strings.HasPrefix(string(all)+"            ", "HTTP/1.") || string(all[9:12]) != c.status || location != c.location || err != nil {
			t.Errorf("%s\n%s%v", c.request, all, err)
		}
	}
}

// TestShutdown lets a request end on every version, tells its client that the
// connection will, and takes no other.
func TestShutdown(t *testing.T) {
	for version := range 4 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			s := &Server{Log: quiet(), TLS: certificate(t), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(entered)
				<-leave
				_, _ = io.WriteString(w, "done")
			})}
			e := start(t, s, Settings{Limits: limits})
			base := "https://" + e.secure
			if version == 0 {
				base = "http://" + e.plain
			}
			type result struct {
				body  string
				close bool
				err   error
			}
			got := make(chan result, 1)
			rt := e.over(version)
			go func() {
				r, _ := http.NewRequest("GET", base, nil)
				resp, err := rt.RoundTrip(r)
				if err != nil {
					got <- result{err: err}
					return
				}
				b, err := io.ReadAll(resp.Body)
				got <- result{string(b), resp.Close, err}
			}()
			<-entered
			s.servers[0].http.RegisterOnShutdown(func() { close(leave) })
			down := make(chan error, 1)
			go func() { down <- s.Shutdown(context.Background()) }()
			if r := <-got; r.body != "done" || r.err != nil || version < 2 && !r.close {
				t.Errorf("%+v", r)
			}
			if err := <-down; err != nil {
				t.Error(err)
			}
			if _, err := net.Dial("tcp", e.plain); err == nil {
				t.Error("connections are still accepted")
			}
			if n := s.Connections(); version < 3 && n != 0 {
				t.Errorf("%d connections are open", n)
			}
		})
	}
}

// TestShutdownIdle has a client of HTTP/3 that keeps its connection until the
// deadline: that is nothing to be told of.
func TestShutdownIdle(t *testing.T) {
	s := &Server{Log: quiet(), TLS: certificate(t), Handler: http.HandlerFunc(hello)}
	e := start(t, s, Settings{Limits: limits})
	rt := &http3.Transport{TLSClientConfig: e.client}
	defer rt.Close()
	resp, err := (&http.Client{Transport: rt}).Get("https://" + e.secure)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(over); err != nil {
		t.Error(err)
	}
}
