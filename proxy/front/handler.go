package front

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
)

// serve is the handler of all servers: it answers what is not served, takes
// off what could be mistaken for the edge's own words, and hands on the rest.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 3 {
		s.streams.Add(1)
		defer s.streams.Add(-1)
	}
	gen := s.live.Load()
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		s.reject(w, r, http.StatusMethodNotAllowed, "this method is not served here")
		return
	case r.RequestURI == "*" && r.Method == http.MethodOptions:
		w.Header().Set("Content-Length", "0") // of HTTP/3: Go's server answers the others
		return
	case r.RequestURI == "*":
		s.reject(w, r, http.StatusBadRequest, "the target is neither a path nor a URL")
		return
	case r.ProtoMajor > 1 && !sound(r):
		s.reject(w, r, http.StatusBadRequest, "the method, the path or the authority is malformed")
		return
	case r.ProtoMajor > 1 && fields(r.Header) > gen.Limits.Headers:
		s.reject(w, r, http.StatusRequestHeaderFieldsTooLarge, "the header has too many fields")
		return
	}
	for name := range r.Header {
		if alias(name) {
			delete(r.Header, name)
		}
	}
	next := s.Handler
	altSvc := ""
	if r.TLS == nil {
		if s.Plain != nil {
			next = s.Plain
		}
	} else if p := s.altSvc.Load(); p != nil && r.ProtoMajor < 3 {
		altSvc = *p
	}
	out := &response{ResponseWriter: w, altSvc: altSvc, version: r.ProtoMajor}
	if r.TLS != nil {
		out.hsts = gen.hsts
	}
	bare := r.Body == nil || r.Body == http.NoBody
	if r.ProtoMajor > 1 {
		out.progress = &progress{server: s, rc: http.NewResponseController(w), limit: gen.Limits.Progress}
		if !bare {
			r.Body = &body{r.Body, out.progress}
		}
	} else if g, ok := r.Context().Value(guardKey{}).(*guard); ok && bare { // else Go's server may read between two writes
		out.guard = g
		g.out.on = true
	}
	next.ServeHTTP(out, r)
	if !out.wrote {
		out.WriteHeader(http.StatusOK)
	}
}

// sound says whether a request of HTTP/2 or 3 can be put into the first two
// lines of HTTP/1.1, to whose guard and server this question is otherwise left:
// RFC 9113 section 8.3.1, RFC 9114 section 4.3.1. An origin must not be blamed
// for what nobody could send it.
func sound(r *http.Request) bool {
	if token([]byte(r.Method)) != len(r.Method) || r.RequestURI == "" || r.RequestURI[0] != '/' || r.Host == "" {
		return false
	}
	for _, c := range []byte(r.RequestURI) {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	for _, c := range []byte(r.Host) {
		if !tchar[c] && strings.IndexByte("(),:;=[]", c) < 0 || strings.IndexByte("#^`|\"", c) >= 0 {
			return false
		}
	}
	return true
}

// reject answers a request that can be told from others, and is not served.
func (s *Server) reject(w http.ResponseWriter, r *http.Request, status int, why string) {
	s.refused(ReasonRequest)
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	http.Error(w, why, status)
}

func fields(h http.Header) (n int) {
	for _, v := range h {
		n += len(v)
	}
	return n
}

// alias says whether a name with underscores is one that the edge sets, or that
// frames a body, to an origin that takes _ for -, as CGI does.
func alias(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	switch name {
	case "x-real-ip", "content-length", "transfer-encoding":
		return true
	}
	return strings.HasPrefix(name, "x-forwarded-")
}

// hostOnly is a host without its port.
func hostOnly(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
		if strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	return host
}

// Redirect sends every request to the same host and target over TLS: port 443
// if port is "" or "443". 301 for GET and HEAD, 308 for others, whose body must
// come again.
func Redirect(port string) http.Handler {
	if port == "443" {
		port = ""
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOnly(r.Host)
		if host == "" {
			w.Header().Set("Connection", "close")
			http.Error(w, "there must be one Host", http.StatusBadRequest)
			return
		}
		if port != "" {
			host += ":" + port
		}
		target := r.RequestURI // byte for byte
		if !strings.HasPrefix(target, "/") {
			_, rest, _ := strings.Cut(target, "://")
			target = "/"
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				target = strings.TrimSuffix("/", rest[i:i+1]) + rest[i:]
			}
		}
		status := http.StatusPermanentRedirect
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			status = http.StatusMovedPermanently
		}
		w.Header().Set("Location", "https://"+host+target)
		w.WriteHeader(status)
	})
}

var _ interface{ ConnectionState() tls.ConnectionState } = secureGuard{} // what net/http asks for
