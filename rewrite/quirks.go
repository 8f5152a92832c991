package rewrite

import (
	"bytes"
	"slices"
	"strings"
)

// quirksMode says whether a doctype token puts the page into quirks mode
// (13.2.6.4.1).
func quirksMode(raw []byte) bool {
	rest := trimSpace(raw[len("<!doctype") : len(raw)-1])
	name, rest := cutWord(rest)
	if name != "html" {
		return true
	}
	if len(rest) == 0 {
		return false
	}
	keyword, rest := cutWord(rest)
	var public, system string
	hasSystem := false
	switch {
	case strings.HasPrefix(keyword, "public"):
		var ok bool
		if public, rest, ok = cutQuoted(afterKeyword(raw, "public")); !ok {
			return true
		}
		if len(rest) > 0 {
			if system, _, hasSystem = cutQuoted(rest); !hasSystem {
				return true
			}
		}
	case strings.HasPrefix(keyword, "system"):
		if system, _, hasSystem = cutQuoted(afterKeyword(raw, "system")); !hasSystem {
			return true
		}
	default:
		return true
	}
	public, system = strings.ToLower(public), strings.ToLower(system)
	if slices.Contains(quirkyPublic, public) || system == "http://www.ibm.com/data/dtd/v11/ibmxhtml1-transitional.dtd" {
		return true
	}
	for _, prefix := range quirkyPrefixes {
		if strings.HasPrefix(public, prefix) {
			return true
		}
	}
	return !hasSystem && (strings.HasPrefix(public, "-//w3c//dtd html 4.01 frameset//") || strings.HasPrefix(public, "-//w3c//dtd html 4.01 transitional//"))
}

func trimSpace(b []byte) []byte { return bytes.Trim(b, " \t\n\r\f") }

// cutWord gives the first word in lower case, and what follows.
func cutWord(b []byte) (string, []byte) {
	i := 0
	for i < len(b) && !isSpace(b[i]) {
		i++
	}
	return string(bytes.ToLower(b[:i])), trimSpace(b[i:])
}

// afterKeyword is what follows the name and the keyword of a doctype.
func afterKeyword(raw []byte, keyword string) []byte {
	b := trimSpace(raw[len("<!doctype") : len(raw)-1])
	_, b = cutWord(b)
	return trimSpace(b[len(keyword):])
}

// cutQuoted gives a quoted string, and what follows. One that lacks its end
// isn't one.
func cutQuoted(b []byte) (string, []byte, bool) {
	if len(b) == 0 || b[0] != '"' && b[0] != '\'' {
		return "", nil, false
	}
	end := bytes.IndexByte(b[1:], b[0])
	if end < 0 {
		return "", nil, false
	}
	return string(b[1 : 1+end]), trimSpace(b[2+end:]), true
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
