package front

import (
	"math"
	"net/http"

	"github.com/seed14307185/refract/rules"
)

// body returns how many bytes of b may pass, up to the request's end or to the
// byte that is refused.
func (s *scanner) body(b []byte, limits *rules.Limits) (int, *Refusal) {
	i := 0
	for i < len(b) && s.phase != inHead {
		if s.phase == inLength || s.phase == inChunk {
			n := min(int64(len(b)-i), s.remain)
			i += int(n)
			if s.remain -= n; s.remain > 0 {
				break
			}
			if s.phase == inLength {
				s.phase = inHead
			} else {
				s.phase = inChunkEnd
			}
			continue
		}
		if r := s.framing(b[i], limits); r != nil {
			return i, r
		}
		i++
	}
	return i, nil
}

// framing takes one byte of what is around the data of chunks: RFC 9112
// section 7.1. A byte that it refuses changes nothing.
func (s *scanner) framing(c byte, limits *rules.Limits) *Refusal {
	switch s.phase {
	case inChunkSize, inChunkSpace, inChunkExtension:
		return s.chunkLine(c)
	case inChunkSizeEnd:
		if c != '\n' {
			return bad("a chunk's size is malformed")
		}
		s.digits, s.width = 0, 0
		if s.phase = inChunk; s.remain == 0 {
			s.phase, s.fields = inTrailer, 0
		}
	case inChunkEnd:
		if c != '\r' {
			return bad("a chunk is longer than its size")
		}
		s.phase = inChunkEnd2
	case inChunkEnd2:
		if c != '\n' {
			return bad("a chunk is longer than its size")
		}
		s.phase = inChunkSize
	default:
		return s.trailer(c, limits)
	}
	return nil
}

// chunkLine takes one byte of a chunk's size and extensions.
func (s *scanner) chunkLine(c byte) *Refusal {
	if s.width >= maxChunkLine {
		return bad("a chunk's extensions are too long")
	}
	switch {
	case c == '\r' && s.digits > 0 && s.phase != inChunkSpace:
		s.phase = inChunkSizeEnd
	case s.phase == inChunkExtension:
		if c < ' ' && c != '\t' || c == 0x7f {
			return bad("a chunk's extension is malformed")
		}
	case c == ';' && s.digits > 0:
		s.phase = inChunkExtension
	case (c == ' ' || c == '\t') && s.digits > 0:
		s.phase = inChunkSpace // only before an extension
	default:
		v := hex(c)
		if v < 0 || s.phase == inChunkSpace || s.digits >= 16 || s.remain > math.MaxInt64>>4 {
			return bad("a chunk's size is malformed")
		}
		s.remain = s.remain<<4 | v
		s.digits++
	}
	s.width++
	return nil
}

// trailer takes one byte of the fields behind the last chunk: section 7.1.2.
func (s *scanner) trailer(c byte, limits *rules.Limits) *Refusal {
	if s.width >= limits.HeaderBytes {
		return &Refusal{http.StatusRequestHeaderFieldsTooLarge, "the trailer is too large"}
	}
	switch s.phase {
	case inTrailer, inTrailerName:
		switch {
		case s.phase == inTrailer && c == '\r':
			s.phase = inTrailerEnd
		case tchar[c]:
			if s.phase == inTrailer {
				if s.fields >= limits.Headers {
					return &Refusal{http.StatusRequestHeaderFieldsTooLarge, "the trailer has too many fields"}
				}
				s.fields++
				s.phase, s.nameLen = inTrailerName, 0
			}
			if s.nameLen < len(s.name) {
				s.name[s.nameLen] = c
			}
			s.nameLen++
		case s.phase == inTrailerName && c == ':':
			if s.nameLen <= len(s.name) {
				switch name := s.name[:s.nameLen]; {
				case len(name) == len("Host") && prefixed(name, "Host"),
					len(name) == len("Content-Length") && prefixed(name, "Content-Length"),
					len(name) == len("Transfer-Encoding") && prefixed(name, "Transfer-Encoding"):
					return bad("a trailer has a field of the header's")
				}
			}
			s.phase = inTrailerValue
		default:
			return bad("the trailer is malformed")
		}
	case inTrailerValue:
		switch c {
		case '\r':
			s.phase = inTrailerValueEnd
		case '\n', 0:
			return bad("the trailer is malformed")
		}
	case inTrailerValueEnd:
		if c != '\n' {
			return bad("the trailer is malformed")
		}
		s.phase = inTrailer
	case inTrailerEnd:
		if c != '\n' {
			return bad("the trailer is malformed")
		}
		*s = scanner{}
		return nil
	}
	s.width++
	return nil
}

func hex(c byte) int64 {
	switch {
	case digit(c):
		return int64(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10
	}
	return -1
}
