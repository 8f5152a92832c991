package approvals

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func statement() Statement {
	return Statement{
		Rule: "invite", Content: "sha256:" + strings.Repeat("ab", 32), By: "ada@example.com",
		At: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC), Until: time.Date(2036, 6, 1, 0, 0, 0, 0, time.UTC),
	}
}

// signers are a signer of each kind of key that has one in Go.
func signers(t *testing.T) map[string]ssh.Signer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, minRSA)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]ssh.Signer{}
	for name, key := range map[string]any{"ed25519": ed, "ecdsa": ec, "rsa": long} {
		if all[name], err = ssh.NewSignerFromKey(key); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func keyOf(t *testing.T, public ssh.PublicKey) Key {
	t.Helper()
	k, err := ParseKey(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " somebody@laptop")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// verify parses and verifies a signature.
func verify(st Statement, k Key, signature string) error {
	s, err := ParseSignature(signature)
	if err != nil {
		return err
	}
	return s.Verify(st, k)
}

// The text is a format: what was signed once must be the same for ever.
func TestText(t *testing.T) {
	const want = `refract approval 1
rule: invite
content: sha256:abababababababababababababababababababababababababababababababab
by: ada@example.com
at: 2036-01-02T03:04:05Z
until: 2036-06-01T00:00:00Z
`
	if got := statement().Text(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	endless := statement()
	endless.Until = time.Time{}
	for _, st := range []Statement{statement(), endless} {
		if got, err := ParseStatement(st.Text()); err != nil || got != st {
			t.Errorf("%q is read as %+v, %v", st.Text(), got, err)
		}
	}
	for _, bad := range []string{
		"", want + "\n", strings.TrimSuffix(want, "\n"), strings.Replace(want, "approval 1", "approval 2", 1), strings.Replace(want, "by: ", "by:", 1),
		strings.Replace(want, "05Z", "05.5Z", 1), strings.Replace(want, "2036-06-01T00:00:00Z", "later", 1), strings.Replace(want, "rule: invite\n", "", 1),
		strings.Replace(want, "04:05Z", "04:05+00:00", 1),
	} {
		if st, err := ParseStatement(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, st)
		}
	}
}

// A signature is of all that the statement says, and of nothing else.
func TestSignatures(t *testing.T) {
	_, raw, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rawSigner, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := ParseKey("ed25519:" + base64.StdEncoding.EncodeToString(raw.Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	type pair struct {
		key    Key
		signer ssh.Signer
	}
	pairs := map[string]pair{"raw": {rawKey, rawSigner}}
	for name, s := range signers(t) {
		pairs[name] = pair{keyOf(t, s.PublicKey()), s}
	}
	signed := map[string]string{}
	for name, p := range pairs {
		signature, err := Sign(statement(), p.key, p.signer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		signed[name] = signature
	}
	for name, p := range pairs {
		if err := verify(statement(), p.key, signed[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for part, edit := range map[string]func(*Statement){
			"rule":     func(s *Statement) { s.Rule = "other" },
			"content":  func(s *Statement) { s.Content = strings.Replace(s.Content, "ab", "ac", 1) },
			"by":       func(s *Statement) { s.By = "bob@example.com" },
			"at":       func(s *Statement) { s.At = s.At.Add(time.Second) },
			"until":    func(s *Statement) { s.Until = s.Until.Add(time.Hour) },
			"no until": func(s *Statement) { s.Until = time.Time{} },
		} {
			st := statement()
			edit(&st)
			if err := verify(st, p.key, signed[name]); !errors.Is(err, ErrOther) {
				t.Errorf("%s, another %s: %v", name, part, err)
			}
		}
		for other, s := range signed {
			if other != name && verify(statement(), p.key, s) == nil {
				t.Errorf("the signature by the %s key is taken for one by the %s key", other, name)
			}
		}
	}
	// The same key in the other form: a signature of one kind is none of the other.
	same := keyOf(t, rawSigner.PublicKey())
	if same.Fingerprint() != rawKey.Fingerprint() {
		t.Error("two forms of one key have two fingerprints")
	}
	if verify(statement(), same, signed["raw"]) == nil {
		t.Error("a raw signature is taken by an SSH key")
	}
}

func TestDamagedSignatures(t *testing.T) {
	s := signers(t)["ed25519"]
	good, err := Sign(statement(), keyOf(t, s.PublicKey()), s)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(good) - 1 { // but for the last newline
		if _, err := ParseSignature(good[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	for _, bad := range []string{"AAAA", strings.Replace(good, "SSH SIGNATURE", "PGP SIGNATURE", 2)} {
		if _, err := ParseSignature(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestKeysThatCannotApprove(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&short.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ed := signers(t)["ed25519"]
	cert := &ssh.Certificate{Key: ed.PublicKey(), ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, ed); err != nil {
		t.Fatal(err)
	}
	line := string(ssh.MarshalAuthorizedKey(ed.PublicKey()))
	for _, bad := range []string{
		"", "ssh-ed25519", string(ssh.MarshalAuthorizedKey(public)), string(ssh.MarshalAuthorizedKey(cert)), "ed25519:", "ed25519:AAAA",
		line + line, `from="10.0.0.0/8" ` + line, "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
	} {
		if k, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key: %s", bad, k.Fingerprint())
		}
	}
}

// A security key's signature says whether it was touched: PROTOCOL.u2f of
// OpenSSH. Without a touch, malware on the laptop could have signed.
func TestSecurityKeyMustBeTouched(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const application = "ssh:"
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type, Key, Application string
	}{ssh.KeyAlgoSKED25519, string(public), application}))
	if err != nil {
		t.Fatal(err)
	}
	for flags, touched := range map[byte]bool{0: false, 1: true} {
		token := securityKey{key, private, application, flags}
		signature, err := Sign(statement(), keyOf(t, key), token)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(statement(), keyOf(t, key), signature); (err == nil) != touched {
			t.Errorf("touched: %v, verified: %v", touched, err)
		}
	}
}

// securityKey signs as a hardware token does.
type securityKey struct {
	public      ssh.PublicKey
	private     ed25519.PrivateKey
	application string
	flags       byte
}

func (k securityKey) PublicKey() ssh.PublicKey { return k.public }

func (k securityKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	app, message := sha256.Sum256([]byte(k.application)), sha256.Sum256(data)
	rest := binary.BigEndian.AppendUint32([]byte{k.flags}, 7)
	signed := append(append(app[:], rest...), message[:]...)
	return &ssh.Signature{Format: k.public.Type(), Blob: ed25519.Sign(k.private, signed), Rest: rest}, nil
}

// An agent on a socket signs as the key itself.
func TestAgent(t *testing.T) {
	ring := agent.NewKeyring()
	want := map[string]bool{}
	for _, bits := range []int{0, minRSA} {
		var private any
		if _, private, _ = ed25519.GenerateKey(rand.Reader); bits > 0 {
			private, _ = rsa.GenerateKey(rand.Reader, bits)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "agent"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			agent.ServeAgent(ring, c) // until the client has closed
		}
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := agent.NewClient(c).Signers()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		k := keyOf(t, s.PublicKey())
		signature, err := Sign(statement(), k, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(statement(), k, signature); err != nil {
			t.Errorf("%s: %v", s.PublicKey().Type(), err)
		}
		want[s.PublicKey().Type()] = true
	}
	if len(want) != 2 {
		t.Errorf("the agent signed with %v", want)
	}
}

// What ssh-keygen signs is verified here, and what is signed here it verifies.
func TestSSHKeygen(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("ssh-keygen is not installed: see scripts/install-test-apps")
	}
	dir := t.TempDir()
	run := func(stdin string, args ...string) error {
		t.Helper()
		cmd := exec.Command(keygen, args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return errors.New(string(out))
		}
		return nil
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st := statement()
	must(os.WriteFile(filepath.Join(dir, "text"), []byte(st.Text()), 0o644))
	for name, args := range map[string][]string{"ed25519": nil, "ecdsa": {"-b", "384"}, "rsa": {"-b", "2048"}} {
		must(run("", append([]string{"-q", "-t", name, "-N", "", "-f", name}, args...)...))
		private, err := os.ReadFile(filepath.Join(dir, name))
		must(err)
		signer, err := ssh.ParsePrivateKey(private)
		must(err)
		k := keyOf(t, signer.PublicKey())

		must(run("", "-Y", "sign", "-q", "-f", name, "-n", Namespace, "text"))
		theirs, err := os.ReadFile(filepath.Join(dir, "text.sig"))
		must(err)
		if err := verify(st, k, string(theirs)); err != nil {
			t.Errorf("%s: a signature of ssh-keygen: %v", name, err)
		}
		must(os.Remove(filepath.Join(dir, "text.sig")))
		must(run("", "-Y", "sign", "-q", "-f", name, "-n", "file", "text"))
		file, err := os.ReadFile(filepath.Join(dir, "text.sig"))
		must(err)
		if err := verify(st, k, string(file)); !errors.Is(err, ErrNamespace) {
			t.Errorf("%s: a signature for another purpose: %v", name, err)
		}
		must(os.Remove(filepath.Join(dir, "text.sig")))

		ours, err := Sign(st, k, signer)
		must(err)
		must(os.WriteFile(filepath.Join(dir, "ours.sig"), []byte(ours), 0o644))
		must(os.WriteFile(filepath.Join(dir, "allowed"), append([]byte(st.By+" "), ssh.MarshalAuthorizedKey(signer.PublicKey())...), 0o644))
		check := []string{"-Y", "verify", "-f", "allowed", "-I", st.By, "-n", Namespace, "-s", "ours.sig"}
		if err := run(st.Text(), check...); err != nil {
			t.Errorf("%s: ssh-keygen refuses our signature: %v", name, err)
		}
		if err := run(st.Text()+" ", check...); err == nil {
			t.Errorf("%s: ssh-keygen takes our signature for that of another text", name)
		}
	}
}
