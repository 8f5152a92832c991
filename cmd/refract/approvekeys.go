package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"

	"github.com/seed14307185/refract/rules"
)

// keySource says where the key to sign with is. The zero value looks where ssh
// does.
type keySource struct {
	file  string
	agent bool
}

// usual are the names of private keys in ~/.ssh that are looked for.
var usual = [...]string{"id_ed25519", "id_ecdsa", "id_rsa"}

// find returns the first key that is one of the approvers', and whose it is.
func (k keySource) find(cmd *cobra.Command, approvers []rules.Approver) (rules.Approver, ssh.Signer, error) {
	var none rules.Approver
	if k.file != "" {
		return k.ofFile(cmd, approvers)
	}
	var tried []string
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" || k.agent {
		who, signer, seen, err := ofAgent(socket, approvers)
		if err == nil || k.agent {
			return who, signer, err
		}
		tried = append(tried, seen...)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return none, nil, err
	}
	for _, name := range usual {
		file := filepath.Join(home, ".ssh", name)
		b, err := os.ReadFile(file + ".pub")
		if err != nil {
			continue
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(b)
		if err != nil {
			continue
		}
		if who, ok := owner(approvers, public); ok {
			signer, err := readPrivateKey(cmd, file)
			return who, signer, err
		}
		tried = append(tried, file)
	}
	return none, nil, notListed(approvers, tried)
}

// notListed is the error of keys of which none is listed.
func notListed(approvers []rules.Approver, tried []string) error {
	found := "no key was found in an agent or in ~/.ssh"
	if len(tried) > 0 {
		found = "none of these keys is listed: " + strings.Join(tried, ", ")
	}
	return fmt.Errorf("%s\nhint: --key FILE says which key signs, and approvers.yaml whose it is; it lists keys of %s", found, names(approvers))
}

func names(approvers []rules.Approver) string {
	var ids []string
	for _, a := range approvers {
		if len(ids) == 0 || ids[len(ids)-1] != a.ID {
			ids = append(ids, a.ID)
		}
	}
	return strings.Join(ids, ", ")
}

// owner returns whose key it is.
func owner(approvers []rules.Approver, public ssh.PublicKey) (rules.Approver, bool) {
	for _, a := range approvers {
		if a.Key.Fingerprint() == ssh.FingerprintSHA256(public) {
			return a, true
		}
	}
	return rules.Approver{}, false
}

// ofFile returns the key of a file; of a public one, the agent's.
func (k keySource) ofFile(cmd *cobra.Command, approvers []rules.Approver) (rules.Approver, ssh.Signer, error) {
	var none rules.Approver
	b, err := os.ReadFile(k.file)
	if err != nil {
		return none, nil, err
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(b); err == nil {
		who, ok := owner(approvers, public)
		if !ok {
			return none, nil, notListed(approvers, []string{k.file})
		}
		who, signer, _, err := ofAgent(os.Getenv("SSH_AUTH_SOCK"), []rules.Approver{who})
		return who, signer, err
	}
	signer, err := readPrivateKey(cmd, k.file)
	if err != nil {
		return none, nil, err
	}
	who, ok := owner(approvers, signer.PublicKey())
	if !ok {
		return none, nil, notListed(approvers, []string{k.file})
	}
	return who, signer, nil
}

// ofAgent returns the first of the agent's keys that is listed, and the names of
// all others.
func ofAgent(socket string, approvers []rules.Approver) (who rules.Approver, signer ssh.Signer, seen []string, err error) {
	if socket == "" {
		return who, nil, nil, errors.New("there is no agent: SSH_AUTH_SOCK is not set\nhint: eval $(ssh-agent), then ssh-add FILE")
	}
	conn, err := net.Dial("unix", socket) // open as long as the process: the signer asks by it
	if err != nil {
		return who, nil, nil, fmt.Errorf("the agent of SSH_AUTH_SOCK does not answer: %w", err)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return who, nil, nil, errors.Join(fmt.Errorf("the agent of SSH_AUTH_SOCK: %w", err), conn.Close())
	}
	for _, s := range signers {
		if who, ok := owner(approvers, s.PublicKey()); ok {
			return who, s, nil, nil
		}
		seen = append(seen, ssh.FingerprintSHA256(s.PublicKey())+" of the agent")
	}
	return who, nil, seen, errors.Join(notListed(approvers, seen), conn.Close())
}

// readPrivateKey reads a private key, and asks for its passphrase if it has one.
func readPrivateKey(cmd *cobra.Command, file string) (ssh.Signer, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, fmt.Errorf("the key %s can't be used: %w\nhint: ssh-add it, and sign with --agent; so do keys that are in a security key", file, err)
		}
		return signer, nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, fmt.Errorf("the key %s has a passphrase, and there is no terminal to ask for it\nhint: ssh-add %s, then sign with --agent", file, file)
	}
	cmd.PrintErrf("passphrase of %s: ", file)
	phrase, err := term.ReadPassword(int(in.Fd()))
	cmd.PrintErrln()
	if err != nil {
		return nil, err
	}
	if signer, err = ssh.ParsePrivateKeyWithPassphrase(b, phrase); err != nil {
		return nil, fmt.Errorf("the key %s: %w", file, err)
	}
	return signer, nil
}
