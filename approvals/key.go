package approvals

import (
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// minRSA is the length of the shortest RSA key that may sign, in bits.
const minRSA = 2048

// rawPrefix begins a raw Ed25519 key.
const rawPrefix = "ed25519:"

// Key is a public key that may sign statements.
type Key struct {
	public ssh.PublicKey
	raw    ed25519.PublicKey // nil: signatures are SSH's
}

// ParseKey reads a line as it stands in a .pub file of OpenSSH (ssh-ed25519,
// ecdsa-sha2-…, ssh-rsa from 2048 bits, and security keys: sk-…), or
// "ed25519:" and the base64 of the 32 bytes of a raw key.
func ParseKey(line string) (Key, error) {
	if text, ok := strings.CutPrefix(line, rawPrefix); ok {
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("%s is not followed by the base64 of %d bytes", rawPrefix, ed25519.PublicKeySize)
		}
		public, err := ssh.NewPublicKey(ed25519.PublicKey(b))
		return Key{public: public, raw: b}, err
	}
	public, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case strings.Contains(line, "PRIVATE KEY"):
		return Key{}, errors.New("it is a private key")
	case err != nil:
		return Key{}, errors.New(`it is not a line of a .pub file, such as "ssh-ed25519 AAAA…"`)
	case len(options) > 0:
		return Key{}, errors.New("it has options before the key's type")
	case len(rest) > 0:
		return Key{}, errors.New("it is more than one line")
	}
	return NewKey(public)
}

// NewKey is the key of an SSH public key, if that may sign.
func NewKey(public ssh.PublicKey) (Key, error) {
	switch public.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	case ssh.KeyAlgoRSA:
		if k, ok := public.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey); !ok || k.N.BitLen() < minRSA {
			return Key{}, fmt.Errorf("it is an RSA key of less than %d bits", minRSA)
		}
	default:
		return Key{}, fmt.Errorf("keys of type %s can't approve", public.Type())
	}
	return Key{public: public}, nil
}

// Fingerprint is the key's, as ssh-keygen -l prints it: "SHA256:…". Two forms of
// one key have the same.
func (k Key) Fingerprint() string { return ssh.FingerprintSHA256(k.public) }
