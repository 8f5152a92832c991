package proxy

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed14307185/refract/rules"
)

// vendorID returns who the cookies of a vendor's browser SDK say the visitor
// is, by the id that the SDK's events have: the user's, or else the browser's,
// and which of the two it is. Any script can write them: what can't be read
// says nothing.
func vendorID(s rules.IdentitySource, h http.Header) (id string, browser bool) {
	var user, device string
	switch s.Kind {
	case "segment":
		user, device = plainID(cookieValue(h, "ajs_user_id")), plainID(cookieValue(h, "ajs_anonymous_id"))
	case "rudderstack":
		user, device = rudderID(cookieValue(h, "rl_user_id")), rudderID(cookieValue(h, "rl_anonymous_id"))
	case "posthog":
		user, device = posthogIDs(vendorCookie(h, "ph_", posthogKey.Replace(s.Name), "_posthog"))
	case "mixpanel":
		user, device = mixpanelIDs(vendorCookie(h, "mp_", s.Name, "_mixpanel"))
	case "amplitude":
		user, device = amplitudeIDs(vendorCookie(h, "AMP_", s.Name[:min(len(s.Name), 10)], ""))
		if validID(user) == "" && validID(device) == "" {
			user, device = oldAmplitudeIDs(vendorCookie(h, "amp_", s.Name[:min(len(s.Name), 6)], ""))
		}
	case "braze":
		user, device = brazeID(vendorCookie(h, "ab.storage.userId.", s.Name, "")), brazeID(vendorCookie(h, "ab.storage.deviceId.", s.Name, ""))
	}
	if id = validID(user); id != "" {
		return id, false
	}
	id = validID(device)
	return id, id != ""
}

// vendorCookie returns the value of the cookie whose name has the key between
// prefix and suffix, or none of the suffix; without a key, of the first cookie
// that is named like that.
func vendorCookie(h http.Header, prefix, key, suffix string) string {
	if key != "" {
		if v := cookieValue(h, prefix+key+suffix); v != "" || suffix == "" {
			return v
		}
		return cookieValue(h, prefix+key)
	}
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			rest, ok := strings.CutPrefix(name, prefix)
			rest, ended := strings.CutSuffix(rest, suffix)
			if ok && ended && rest != "" && !strings.HasPrefix(rest, "MKTG_") && !strings.HasPrefix(rest, "TEST") && !strings.HasPrefix(rest, "TLDTEST") {
				return value
			}
		}
	}
	return ""
}

// unescaped undoes percent-encoding, in which a plus is one.
func unescaped(s string) string {
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}

// plainID is a cookie that holds the id itself, or as a JSON string.
func plainID(s string) string { return jsonID(unescaped(s)) }

// jsonID is an id as analytics.js used to write it: a JSON string, or null for
// nobody, which would make one visitor of all who have not signed in.
func jsonID(s string) string {
	if s == "null" {
		return ""
	}
	return strings.Trim(s, `"`)
}

// cookieID is an id in JSON: a string or a number. Anything else is no id.
type cookieID string

func (id *cookieID) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*id = cookieID(s)
	} else if len(b) > 0 && b[0] >= '0' && b[0] <= '9' && !bytes.ContainsAny(b, ".eE") {
		*id = cookieID(b)
	}
	return nil
}

// posthogKey writes a project's key as posthog-js does in its cookie's name.
var posthogKey = strings.NewReplacer("+", "PL", "/", "SL", "=", "EQ")

func posthogIDs(s string) (user, device string) {
	var c struct {
		Distinct cookieID `json:"distinct_id"`
		Device   cookieID `json:"$device_id"`
		State    cookieID `json:"$user_state"`
	}
	if json.Unmarshal([]byte(unescaped(s)), &c) != nil {
		return "", ""
	}
	if c.State == "anonymous" || c.Distinct == c.Device || validID(string(c.Distinct)) == "" {
		return "", cmp.Or(validID(string(c.Distinct)), string(c.Device))
	}
	return string(c.Distinct), ""
}

func mixpanelIDs(s string) (user, device string) {
	var c struct {
		User     cookieID `json:"$user_id"`
		Distinct cookieID `json:"distinct_id"`
		Device   cookieID `json:"$device_id"`
	}
	if json.Unmarshal([]byte(unescaped(s)), &c) != nil {
		return "", ""
	}
	distinct, anonymous := strings.CutPrefix(string(c.Distinct), "$device:")
	if c.User == "" && !anonymous && c.Distinct != c.Device {
		return distinct, string(c.Device)
	}
	return string(c.User), cmp.Or(validID(distinct), string(c.Device))
}

func amplitudeIDs(s string) (user, device string) {
	var c struct {
		User   cookieID `json:"userId"`
		Device cookieID `json:"deviceId"`
	}
	raw, err := base64.StdEncoding.DecodeString(unescaped(s))
	if err != nil || json.Unmarshal([]byte(unescaped(string(raw))), &c) != nil {
		return "", ""
	}
	return string(c.User), string(c.Device)
}

// oldAmplitudeIDs reads deviceId.base64(userId).… of Amplitude's first browser
// SDK.
func oldAmplitudeIDs(s string) (user, device string) {
	device, rest, _ := strings.Cut(unescaped(s), ".")
	encoded, _, _ := strings.Cut(rest, ".")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		raw = nil
	}
	return string(raw), device
}

// brazeID reads g:ID|e:…|c:…|l:….
func brazeID(s string) string {
	for part := range strings.SplitSeq(unescaped(s), "|") {
		if id, ok := strings.CutPrefix(part, "g:"); ok {
			return id
		}
	}
	return ""
}

// rudderID reads the three forms in which RudderStack's SDKs store a JSON
// string: as it is, in base64, and, by the oldest, under a passphrase that
// everybody knows.
func rudderID(s string) string {
	s = unescaped(s)
	raw := []byte(s)
	if encoded, ok := strings.CutPrefix(s, "RS_ENC_v3_"); ok {
		raw, _ = base64.StdEncoding.DecodeString(encoded)
	} else if encoded, ok := strings.CutPrefix(s, "RudderEncrypt:"); ok {
		raw = rudderDecrypt(encoded)
	}
	var id cookieID
	if json.Unmarshal(raw, &id) != nil {
		return ""
	}
	return string(id)
}

// rudderDecrypt undoes AES as CryptoJS does it under a passphrase: OpenSSL's
// EVP_BytesToKey with MD5, a key of 256 bits, CBC.
func rudderDecrypt(s string) []byte {
	raw, err := base64.StdEncoding.DecodeString(s)
	sealed, ok := bytes.CutPrefix(raw, []byte("Salted__"))
	if err != nil || !ok || len(sealed) < 8+aes.BlockSize || len(sealed)%aes.BlockSize != 8 {
		return nil
	}
	salt, text := sealed[:8], bytes.Clone(sealed[8:])
	var derived, last []byte
	for len(derived) < 32+aes.BlockSize {
		sum := md5.Sum(append(append(last, "Rudder"...), salt...))
		last = sum[:]
		derived = append(derived, last...)
	}
	block, err := aes.NewCipher(derived[:32])
	if err != nil {
		return nil
	}
	cipher.NewCBCDecrypter(block, derived[32:32+aes.BlockSize]).CryptBlocks(text, text)
	padding := int(text[len(text)-1])
	if padding == 0 || padding > aes.BlockSize {
		return nil
	}
	return text[:len(text)-padding]
}
