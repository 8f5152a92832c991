package selector

import "bytes"

// impossible reports whether no value can match: one of these tests with an
// empty value, or words asked for something that is no word.
func (a *attribute) impossible() bool {
	switch a.test {
	case prefix, suffix, contains:
		return len(a.value) == 0
	case includes:
		return len(a.value) == 0 || bytes.ContainsAny(a.value, " \t\n\f\r")
	}
	return false
}

// matches compares a value, without regard to ASCII case if fold is set. The
// test must not be impossible.
func (a *attribute) matches(v []byte, fold bool) bool {
	switch want := a.value; a.test {
	case present:
		return true
	case equal:
		return same(v, want, fold)
	case includes:
		return includesWord(v, want, fold)
	case dash:
		return begins(v, want, fold) && (len(v) == len(want) || v[len(want)] == '-')
	case prefix:
		return begins(v, want, fold)
	case suffix:
		return len(v) >= len(want) && same(v[len(v)-len(want):], want, fold)
	case contains:
		return index(v, want, fold) >= 0
	}
	return false
}

// includesWord reports whether want is one of the words of v.
func includesWord(v, want []byte, fold bool) bool {
	for from := 0; ; {
		i := index(v[from:], want, fold)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(want)
		if (start == 0 || isSpace(v[start-1])) && (end == len(v) || isSpace(v[end])) {
			return true
		}
		from = end // no word begins within what has no space in it
	}
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'
}

func index(v, want []byte, fold bool) int {
	if !fold {
		return bytes.Index(v, want)
	}
	for i := 0; i+len(want) <= len(v); i++ {
		if begins(v[i:], want, fold) {
			return i
		}
	}
	return -1
}

func begins(v, want []byte, fold bool) bool {
	return len(v) >= len(want) && same(v[:len(want)], want, fold)
}

func same(v, want []byte, fold bool) bool {
	if !fold || len(v) != len(want) {
		return bytes.Equal(v, want)
	}
	for i, c := range v {
		if lowerByte(c) != lowerByte(want[i]) {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
