package approvals

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// The ways in which a signature can be none of a statement.
var (
	// ErrDamaged is of what is no signature at all.
	ErrDamaged = errors.New("the signature is damaged")
	// ErrNamespace is of an SSH signature that was made for something else.
	ErrNamespace = errors.New("the signature was made for another purpose")
	// ErrOther is of a signature by that key, but of another text.
	ErrOther = errors.New("the signature is not of this statement")
)

// Signature is a signature that was read, of nobody knows what yet.
type Signature struct {
	ssh *sshsig.Signature // nil: raw
	raw []byte
}

// ParseSignature reads a signature: the armor of SSH, or base64. Its error is
// ErrDamaged.
func ParseSignature(text string) (Signature, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "-----") {
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(b) != ed25519.SignatureSize {
			return Signature{}, fmt.Errorf("%w: it is neither the armor of an SSH signature nor the base64 of %d bytes", ErrDamaged, ed25519.SignatureSize)
		}
		return Signature{raw: b}, nil
	}
	s, err := sshsig.Unarmor([]byte(text + "\n"))
	if err != nil {
		return Signature{}, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return Signature{ssh: s}, nil
}

// Fingerprint is that of the key that an SSH signature names; empty for a raw
// signature, which names none.
func (s Signature) Fingerprint() string {
	if s.ssh == nil {
		return ""
	}
	return ssh.FingerprintSHA256(s.ssh.PublicKey)
}

// By says whether the key may be the one that signed: the one that the signature
// names, or any raw key.
func (s Signature) By(k Key) bool {
	if s.ssh == nil {
		return k.raw != nil
	}
	return k.raw == nil && s.Fingerprint() == k.Fingerprint()
}

// Verify says whether the signature is one of the statement by the key.
func (s Signature) Verify(st Statement, k Key) error {
	text := st.Text()
	switch {
	case !s.By(k):
		return ErrOther
	case s.ssh == nil:
		if !ed25519.Verify(k.raw, []byte(text), s.raw) {
			return ErrOther
		}
		return nil
	case s.ssh.Namespace != Namespace:
		return fmt.Errorf("%w: its namespace is %q, not %q", ErrNamespace, s.ssh.Namespace, Namespace)
	}
	if err := sshsig.Verify(strings.NewReader(text), s.ssh, k.public, s.ssh.HashAlgorithm, Namespace); err != nil {
		return fmt.Errorf("%w: %v", ErrOther, err)
	}
	return nil
}

// Sign signs the statement as the holder of the key: by an SSH signature, or,
// where the key is a raw one, by one of those. The signer has the private part of
// the key.
func Sign(st Statement, k Key, signer ssh.Signer) (string, error) {
	if k.raw != nil {
		s, err := signer.Sign(rand.Reader, []byte(st.Text()))
		if err != nil {
			return "", err
		}
		return base64.StdEncoding.EncodeToString(s.Blob), nil
	}
	s, err := sshsig.Sign(strings.NewReader(st.Text()), signer, sshsig.HashSHA512, Namespace)
	if err != nil {
		return "", err
	}
	return string(sshsig.Armor(s)), nil
}
