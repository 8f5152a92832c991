package main

import (
	"cmp"
	"strconv"

	"github.com/seed14307185/refract/proxy"
	"github.com/seed14307185/refract/rules"
)

// appendCombined appends a line of the NCSA's combined format, with escapes
// as Apache's httpd makes them. Who is logged in is never told.
func appendCombined(to []byte, x *proxy.Exchange, edge *rules.Edge) []byte {
	r := x.Request
	_, client := addresses(r, edge.TrustedProxies)
	to = appendEscaped(to, client)
	to = append(to, " - - ["...)
	to = x.Start.AppendFormat(to, "02/Jan/2006:15:04:05 -0700")
	to = append(to, `] "`...)
	to = appendEscaped(to, r.Method)
	to = append(to, ' ')
	to = appendEscaped(to, r.URL.EscapedPath())
	if edge.AccessLog.Query && r.URL.RawQuery != "" {
		to = append(to, '?')
		to = appendEscaped(to, r.URL.RawQuery)
	}
	to = append(to, ' ')
	to = appendEscaped(to, r.Proto)
	to = append(to, `" `...)
	to = strconv.AppendInt(to, int64(x.Status), 10)
	to = append(to, ' ')
	if x.Bytes == 0 {
		to = append(to, '-')
	} else {
		to = strconv.AppendInt(to, x.Bytes, 10)
	}
	to = append(to, ` "`...)
	to = appendEscaped(to, cmp.Or(r.Header.Get("Referer"), "-"))
	to = append(to, `" "`...)
	to = appendEscaped(to, cmp.Or(r.Header.Get("User-Agent"), "-"))
	return append(to, "\"\n"...)
}

// appendEscaped appends what a client sent, so that it can neither end its
// field nor its line, nor play with a terminal.
func appendEscaped(to []byte, s string) []byte {
	const hex = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case ' ' <= c && c < 0x7f:
			to = append(to, c)
		case '\b' <= c && c <= '\r' && c != '\f':
			to = append(to, '\\', "btnv?r"[c-'\b'])
		default:
			to = append(to, '\\', 'x', hex[c>>4], hex[c&0xf])
		}
	}
	return to
}
