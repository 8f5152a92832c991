package origin

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// readHead returns the next head, without the empty line at its end.
func (x *exchange) readHead(c *conn) (string, error) {
	limit := x.server.headBytes
	line := x.r // where the line begins
	for scan := x.r; ; {
		i := bytes.IndexByte(x.buf[scan:x.w], '\n')
		if i < 0 {
			if n := min(5, x.w-x.r); n > 0 && string(x.buf[x.r:x.r+n]) != "HTTP/"[:n] {
				return "", malformed("it begins with %q", x.buf[x.r:min(x.w, x.r+32)])
			}
			if x.w-x.r > limit {
				return "", malformed("its head is larger than %d bytes", limit)
			}
			scan, line = x.w-x.r, line-x.r // fill may move it
			if err := x.fill(c, limit); err != nil {
				return "", err
			}
			scan, line = scan+x.r, line+x.r
			continue
		}
		end := scan + i
		if end == line || end == line+1 && x.buf[line] == '\r' {
			if end-x.r > limit {
				return "", malformed("its head is larger than %d bytes", limit)
			}
			head := string(x.buf[x.r:line])
			x.r = end + 1
			if head == "" {
				return "", malformed("it begins with an empty line")
			}
			return head, nil
		}
		scan, line = end+1, end+1
	}
}

// parseHead parses a status line and fields, each with its line end, into
// resp. Lines end as RFC 9112, section 2.2, allows; a line that is folded, a
// name that is not a token, and a value with control characters are errors.
func parseHead(head string, maxFields int, resp *http.Response) error {
	line, rest := cutLine(head)
	proto, status, ok := strings.Cut(line, " ")
	if !ok || len(proto) != len("HTTP/1.1") || proto[:7] != "HTTP/1." || proto[7] < '0' || proto[7] > '9' {
		return malformed("status line %q", clip(line))
	}
	code, reason, _ := strings.Cut(status, " ")
	n, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || n < 100 || !httpguts.ValidHeaderFieldValue(reason) {
		return malformed("status line %q", clip(line))
	}
	resp.Status, resp.StatusCode = status, int(n)
	resp.Proto, resp.ProtoMajor, resp.ProtoMinor = proto, 1, int(proto[7]-'0')
	fields := strings.Count(rest, "\n")
	if fields > maxFields {
		return malformed("more than %d fields", maxFields)
	}
	resp.Header, err = parseFields(rest, fields)
	return err
}

// parseFields parses so many fields as lines.
func parseFields(lines string, count int) (http.Header, error) {
	h := make(http.Header, count)
	values := make([]string, count) // each field's slice is a piece of it
	for lines != "" {
		var line string
		line, lines = cutLine(lines)
		name, value, ok := strings.Cut(line, ":")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, malformed("field %q", clip(name))
		}
		value = strings.Trim(value, " \t")
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, malformed("value of field %q", clip(name))
		}
		name = http.CanonicalHeaderKey(name)
		if have, ok := h[name]; ok {
			h[name] = append(have, value)
			continue
		}
		values[0] = value
		h[name] = values[:1:1]
		values = values[1:]
	}
	return h, nil
}

// cutLine cuts off a line, which ends with LF or CRLF.
func cutLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

func clip(s string) string { return s[:min(len(s), 64)] }

// The ways in which a body ends: RFC 9112, section 6.3.
type ending int

const (
	empty ending = iota
	counted
	chunked
	untilClose
)

// frame says how the body of a response ends, and fills in what of resp
// concerns that. With chunks points to what resp.TransferEncoding is to be.
func frame(resp *http.Response, method string, chunks *[1]string) (kind ending, length int64, err error) {
	h := resp.Header
	if c, ok := h["Connection"]; ok || resp.ProtoMinor == 0 {
		resp.Close = httpguts.HeaderValuesContainsToken(c, "close") ||
			resp.ProtoMinor == 0 && !httpguts.HeaderValuesContainsToken(c, "keep-alive")
	}
	length = -1
	if v := h["Content-Length"]; v != nil {
		for _, other := range v[1:] {
			if other != v[0] {
				return 0, 0, malformed("differing Content-Length fields")
			}
		}
		n, err := strconv.ParseUint(v[0], 10, 63)
		if err != nil { // signs too
			return 0, 0, malformed("Content-Length %q", clip(v[0]))
		}
		h["Content-Length"] = v[:1:1]
		length = int64(n)
	}
	if te := h["Transfer-Encoding"]; te != nil {
		switch {
		case resp.ProtoMinor == 0:
			return 0, 0, malformed("Transfer-Encoding in HTTP/1.0")
		case length >= 0:
			return 0, 0, malformed("both Content-Length and Transfer-Encoding")
		case len(te) != 1 || !strings.EqualFold(te[0], "chunked"):
			return 0, 0, malformed("Transfer-Encoding %q", clip(strings.Join(te, ", ")))
		}
		delete(h, "Transfer-Encoding")
		kind = chunked
		chunks[0] = "chunked"
		resp.TransferEncoding = chunks[:]
		resp.Trailer = announced(h)
	}
	resp.ContentLength = length
	switch {
	case method == http.MethodHead:
		return empty, 0, nil
	case resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified:
		resp.ContentLength = 0
		return empty, 0, nil
	case kind == chunked:
		return chunked, 0, nil
	case length == 0:
		return empty, 0, nil
	case length > 0:
		return counted, length, nil
	}
	resp.Close = true
	return untilClose, 0, nil
}

// announced takes the Trailer field off a header. Names that can't be trailers
// are left out: RFC 9110, section 6.5.1.
func announced(h http.Header) http.Header {
	v, ok := h["Trailer"]
	if !ok {
		return nil
	}
	delete(h, "Trailer")
	var trailer http.Header
	for _, line := range v {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidTrailerHeader(name) {
				continue
			}
			if trailer == nil {
				trailer = http.Header{}
			}
			trailer[name] = nil
		}
	}
	return trailer
}
