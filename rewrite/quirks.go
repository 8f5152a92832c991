package rewrite

import "bytes"

// quirksMode says whether a doctype token puts the page into quirks mode
// (13.2.6.4.1).
func quirksMode(raw []byte) bool {
	name, rest := cutWord(trimSpace(raw[len("<!doctype") : len(raw)-1]))
	if !foldedEqual(name, "html") {
		return true
	}
	if len(rest) == 0 {
		return false
	}
	const public, system = "public", "system"
	keyword := rest[:min(len(rest), len(public))]
	rest = trimSpace(rest[len(keyword):])
	var publicID, systemID []byte
	hasSystem := true
	switch {
	case foldedEqual(keyword, public):
		var ok bool
		if publicID, rest, ok = cutQuoted(rest); !ok {
			return true
		}
		if hasSystem = len(rest) > 0; hasSystem {
			if systemID, _, ok = cutQuoted(rest); !ok {
				return true
			}
		}
	case foldedEqual(keyword, system):
		var ok bool
		if systemID, _, ok = cutQuoted(rest); !ok {
			return true
		}
	default:
		return true
	}
	for _, id := range quirkyPublic {
		if foldedEqual(publicID, id) {
			return true
		}
	}
	for _, prefix := range quirkyPrefixes {
		if foldedPrefix(publicID, prefix) {
			return true
		}
	}
	return foldedEqual(systemID, "http://www.ibm.com/data/dtd/v11/ibmxhtml1-transitional.dtd") ||
		!hasSystem && (foldedPrefix(publicID, "-//w3c//dtd html 4.01 frameset//") || foldedPrefix(publicID, "-//w3c//dtd html 4.01 transitional//"))
}

func foldedPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && foldedEqual(b[:len(prefix)], prefix)
}

func trimSpace(b []byte) []byte { return bytes.Trim(b, whiteSpace) }

// cutWord gives the first word, and what follows.
func cutWord(b []byte) (word, rest []byte) {
	i := 0
	for i < len(b) && !isSpace(b[i]) {
		i++
	}
	return b[:i], trimSpace(b[i:])
}

// cutQuoted gives what a quoted string has between its quotes, and what follows
// it. One that lacks its end isn't one.
func cutQuoted(b []byte) (quoted, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' && b[0] != '\'' {
		return nil, nil, false
	}
	end := bytes.IndexByte(b[1:], b[0])
	if end < 0 {
		return nil, nil, false
	}
	return b[1 : 1+end], trimSpace(b[2+end:]), true
}

// Public identifiers of quirks mode, in lower case.
var quirkyPublic = []string{
	"-//w3o//dtd w3 html strict 3.0//en//",
	"-/w3c/dtd html 4.0 transitional/en",
	"html",
}

// The prefixes of others.
var quirkyPrefixes = []string{
	"+//silmaril//dtd html pro v0r11 19970101//",
	"-//as//dtd html 3.0 aswedit + extensions//",
	"-//advasoft ltd//dtd html 3.0 aswedit + extensions//",
	"-//ietf//dtd html 2.0 level 1//",
	"-//ietf//dtd html 2.0 level 2//",
	"-//ietf//dtd html 2.0 strict level 1//",
	"-//ietf//dtd html 2.0 strict level 2//",
	"-//ietf//dtd html 2.0 strict//",
	"-//ietf//dtd html 2.0//",
	"-//ietf//dtd html 2.1e//",
	"-//ietf//dtd html 3.0//",
	"-//ietf//dtd html 3.2 final//",
	"-//ietf//dtd html 3.2//",
	"-//ietf//dtd html 3//",
	"-//ietf//dtd html level 0//",
	"-//ietf//dtd html level 1//",
	"-//ietf//dtd html level 2//",
	"-//ietf//dtd html level 3//",
	"-//ietf//dtd html strict level 0//",
	"-//ietf//dtd html strict level 1//",
	"-//ietf//dtd html strict level 2//",
	"-//ietf//dtd html strict level 3//",
	"-//ietf//dtd html strict//",
	"-//ietf//dtd html//",
	"-//metrius//dtd metrius presentational//",
	"-//microsoft//dtd internet explorer 2.0 html strict//",
	"-//microsoft//dtd internet explorer 2.0 html//",
	"-//microsoft//dtd internet explorer 2.0 tables//",
	"-//microsoft//dtd internet explorer 3.0 html strict//",
	"-//microsoft//dtd internet explorer 3.0 html//",
	"-//microsoft//dtd internet explorer 3.0 tables//",
	"-//netscape comm. corp.//dtd html//",
	"-//netscape comm. corp.//dtd strict html//",
	"-//o'reilly and associates//dtd html 2.0//",
	"-//o'reilly and associates//dtd html extended 1.0//",
	"-//o'reilly and associates//dtd html extended relaxed 1.0//",
	"-//sq//dtd html 2.0 hotmetal + extensions//",
	"-//softquad software//dtd hotmetal pro 6.0::19990601::extensions to html 4.0//",
	"-//softquad//dtd hotmetal pro 4.0::19971010::extensions to html 4.0//",
	"-//spyglass//dtd html 2.0 extended//",
	"-//sun microsystems corp.//dtd hotjava html//",
	"-//sun microsystems corp.//dtd hotjava strict html//",
	"-//w3c//dtd html 3 1995-03-24//",
	"-//w3c//dtd html 3.2 draft//",
	"-//w3c//dtd html 3.2 final//",
	"-//w3c//dtd html 3.2//",
	"-//w3c//dtd html 3.2s draft//",
	"-//w3c//dtd html 4.0 frameset//",
	"-//w3c//dtd html 4.0 transitional//",
	"-//w3c//dtd html experimental 19960712//",
	"-//w3c//dtd html experimental 970421//",
	"-//w3c//dtd w3 html//",
	"-//w3o//dtd w3 html 3.0//",
	"-//webtechs//dtd mozilla html 2.0//",
	"-//webtechs//dtd mozilla html//",
}
