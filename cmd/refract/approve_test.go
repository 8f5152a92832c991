package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/seed14307185/refract/approvals"
	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/store"
)

// newKey returns a private key and the line of its public one.
func newKey(t *testing.T) (private ed25519.PrivateKey, line string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// writeKey writes a private key as ssh-keygen does, with a passphrase if there is
// one.
func writeKey(t *testing.T, name string, private ed25519.PrivateKey, passphrase string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, name, string(pem.EncodeToMemory(block)))
}

func writeFile(t testing.TB, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serveAgent is an ssh-agent with some keys. It returns its socket.
func serveAgent(t *testing.T, keys ...ed25519.PrivateKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			go agent.ServeAgent(ring, c)
		}
	}()
	return socket
}

// approvable is a site whose rule on /reports needs two approvals, and who may give
// them. Nobody has yet.
type approvable struct {
	dir, site             string
	ada, bob, author, raw ed25519.PrivateKey
}

func newApprovable(t *testing.T, origin string) approvable {
	t.Helper()
	dir := newSite(t, "../../testdata/sites/loop", origin)
	a := approvable{dir: dir, site: filepath.Join(dir, "site")}
	var lines [3]string
	a.ada, lines[0] = newKey(t)
	a.bob, lines[1] = newKey(t)
	a.author, lines[2] = newKey(t)
	a.raw, _ = newKey(t)
	public := base64.StdEncoding.EncodeToString(a.raw.Public().(ed25519.PublicKey))
	writeFile(t, filepath.Join(a.site, "approvers.yaml"), "approvers:\n"+
		"  ada@example.com: {keys: ["+lines[0]+"], groups: [product]}\n"+
		"  bob@example.com: {keys: ["+lines[1]+"], groups: [legal]}\n"+
		"  reports@example.com: {keys: ["+lines[2]+"], groups: [legal]}\n"+
		"  raw@example.com: {keys: [\"ed25519:"+public+"\"]}\n")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	return a
}

func (a approvable) guard(t *testing.T) {
	t.Helper()
	writeFile(t, filepath.Join(a.site, "surfaces/reports.banner.yaml"), "pages: [/reports]\napprovals: {count: 2, groups: [legal]}\n")
}

// approve runs refract approve, which must succeed.
func (a approvable) approve(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := command(t, "", append([]string{"approve", reportsRule, "--site", a.site}, args...)...)
	if code != exitOK {
		t.Fatalf("approve %v: exit status %d: %s", args, code, errs)
	}
	return out
}

// A rule is served when it has its approvals, and not one response longer than
// what it says is what was approved.
func TestApprovedRuleIsServed(t *testing.T) {
	a := newApprovable(t, newApp(t).URL)
	r, visitor := treatedReader(t, a.dir) // nothing is needed yet
	if out := r.mustCommand("status"); !strings.Contains(out, "needs no approval: invite-teammate, schedule-report\n") {
		t.Errorf("the status of a site without a policy:\n%s", out)
	}
	if !strings.Contains(r.stderr(), "rules that need no approval") {
		t.Error("the log doesn't say that nothing needs an approval")
	}
	reload := func(treats bool, state string) {
		t.Helper()
		r.mustCommand("reload")
		if r.treats(visitor) != treats {
			t.Fatalf("treated: %v, want %v; %+v", !treats, treats, r.rule(reportsRule).Approvals)
		}
		if st := r.rule(reportsRule); st.State != state {
			t.Fatalf("the state is %s, want %s", st.State, state)
		}
	}
	rule := filepath.Join(a.site, "rules", reportsRule+".yaml")
	edit := func(from, to string) {
		t.Helper()
		editFile(t, rule, func(s string) string { return strings.Replace(s, from, to, 1) })
	}

	a.guard(t)
	reload(false, "unapproved")
	if out := r.mustCommand("status"); !strings.Contains(out, "missing: 2 approvals, an approval of legal") {
		t.Errorf("the status doesn't say what is missing:\n%s", out)
	}
	if out := r.mustCommand("state"); !strings.Contains(out, reportsRule+"  unapproved ") {
		t.Errorf("the state of now:\n%s", out)
	}
	key := filepath.Join(a.dir, "ada")
	writeKey(t, key, a.ada, "")
	a.approve(t, "--key", key)
	reload(false, "unapproved")
	t.Setenv("SSH_AUTH_SOCK", serveAgent(t, a.bob))
	end := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	if out := a.approve(t, "--agent", "--until", end.Format(time.RFC3339)); !strings.Contains(out, "approved by ada@example.com (product), bob@example.com (legal) until "+end.Format(time.RFC3339)) {
		t.Errorf("approve says\n%s", out)
	}
	reload(true, "live")
	var then console.State
	if err := json.Unmarshal([]byte(r.mustCommand("state", "--json", "--at", end.Format(time.RFC3339))), &then); err != nil || len(then.Rules) != 2 || then.Rules[1].Why != "unapproved" {
		t.Errorf("the state when the approval has run out: %+v, %v", then, err)
	}

	lastEntry := func() (e store.Entry) {
		t.Helper()
		lines := strings.Split(strings.TrimSpace(r.mustCommand("ledger", "--json")), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	last := lastEntry()
	if last.Kind != "load" || len(last.Approvals) != 1 || last.Approvals[0].Rule != reportsRule || len(last.Approvals[0].By) != 2 ||
		last.Approvals[0].Content != r.rule(reportsRule).Approvals.Content {
		t.Errorf("the ledger's entry: %+v", last)
	}
	if out := r.mustCommand("ledger"); !strings.Contains(out, "schedule-report approved by ada@example.com, bob@example.com\n") {
		t.Errorf("the ledger's table:\n%s", out)
	}
	metrics := func(state string) string {
		return `refract_rule_state{rule="` + reportsRule + `",state="` + state + `"} 1`
	}
	if _, body := r.ask(http.MethodGet, "/metrics", nil); !strings.Contains(body, metrics("live")) {
		t.Error("the metrics don't say live")
	}

	edit("state: live", "# looked at\nstate: live")
	reload(true, "live")
	if e := lastEntry(); e.Kind != "load" || e.Seq == last.Seq || len(e.Approvals) != 0 {
		t.Errorf("the ledger's entry of a load that changes no approval: %+v", e)
	}

	edit("state: live", "priority: 1\nstate: live") // everybody would keep their arm
	reload(false, "unapproved")
	if _, body := r.ask(http.MethodGet, "/metrics", nil); !strings.Contains(body, metrics("unapproved")) {
		t.Error("the metrics don't say unapproved")
	}
	why := r.rule(reportsRule).Approvals.Refused
	if len(why) != 2 || !strings.HasPrefix(why[0], "approvals/schedule-report.yaml:2:12: ada@example.com signed another content: the rule was edited after") {
		t.Errorf("the reasons: %q", why)
	}
	if _, page := r.ask(http.MethodGet, "/", nil); !strings.Contains(page, "ada@example.com signed another content") {
		t.Error("the console's page doesn't say why")
	}
	if out := r.mustCommand("explain", visitor, "--url", "/reports"); !strings.Contains(out, "the rule is unapproved: needs 2 approvals, of legal") {
		t.Errorf("explain says\n%s", out)
	}
	// What isn't served can be rolled back all the same, and started.
	r.mustCommand("rollback", reportsRule)
	reload(false, "rolled_back")
	r.mustCommand("resume", reportsRule)
	edit("priority: 1\n", "")
	reload(true, "live")

	file := filepath.Join(a.site, "approvals", reportsRule+".yaml")
	editFile(t, file, func(s string) string { return strings.Replace(s, "by: ada", "by: bob", 1) })
	reload(false, "unapproved")
	editFile(t, file, func(s string) string { return strings.Replace(s, "by: bob", "by: ada", 1) })
	reload(true, "live")
	// A damaged file of approvals doesn't keep a rollback by file from loading.
	editFile(t, file, func(s string) string { return "]" + s })
	edit("state: live", "state: rolled_back")
	reload(false, "rolled_back")
	editFile(t, file, func(s string) string { return s[1:] })
	edit("state: rolled_back", "state: live")
	reload(true, "live")

	r.at(48*time.Hour + time.Minute) // bob's approval has ended
	if r.treats(visitor) {
		t.Error("treated after an approval has ended")
	}
	if st := r.rule(reportsRule); st.State != "unapproved" || !slices.ContainsFunc(st.Approvals.Refused, func(s string) bool { return strings.Contains(s, "the approval of bob@example.com ended") }) {
		t.Errorf("after an approval has ended: %s, %+v", st.State, st.Approvals)
	}
	r.stop()
}

// Where the key is found, and what is said where none is.
func TestApproveCommand(t *testing.T) {
	a := newApprovable(t, "http://127.0.0.1:1")
	a.guard(t)
	refused := func(want string, args ...string) {
		t.Helper()
		before, _ := os.ReadFile(filepath.Join(a.site, "approvals", reportsRule+".yaml"))
		code, out, errs := command(t, "", append([]string{"approve", "--site", a.site}, args...)...)
		if code == exitOK || !strings.Contains(errs, want) || !strings.Contains(errs, "hint: ") {
			t.Errorf("approve %v: exit status %d, %s\n%s\nwant %s and a hint", args, code, errs, out, want)
		}
		if after, _ := os.ReadFile(filepath.Join(a.site, "approvals", reportsRule+".yaml")); string(after) != string(before) {
			t.Errorf("approve %v wrote something", args)
		}
	}
	at := func(name string) string { return filepath.Join(a.dir, name) }
	stranger, _ := newKey(t)
	writeKey(t, at("stranger"), stranger, "")
	writeKey(t, at("author"), a.author, "")
	writeKey(t, at("locked"), a.ada, "sesame")
	refused("there is no rule \"reports\"", "reports")
	refused("no key was found in an agent or in ~/.ssh", reportsRule)
	refused("there is no agent", reportsRule, "--agent")
	refused("none of these keys is listed", reportsRule, "--key", at("stranger"))
	refused("none of these keys is listed", reportsRule, "--key", at("author"), "--as", "ada@example.com")
	refused("reports@example.com is the owner of schedule-report", reportsRule, "--key", at("author"))
	refused("has a passphrase, and there is no terminal", reportsRule, "--key", at("locked"))
	refused("is over", reportsRule, "--key", at("stranger"), "--until", "2020-01-01")
	refused("--print needs --as", reportsRule, "--print")

	// As ssh has it.
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(a.ada)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, filepath.Join(home, ".ssh/id_ed25519"), a.ada, "")
	writeFile(t, filepath.Join(home, ".ssh/id_ed25519.pub"), string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	t.Setenv("SSH_AUTH_SOCK", serveAgent(t, stranger)) // is asked before, and has none
	out := a.approve(t)
	for _, want := range []string{
		"When exporters reach reports.banner, show the text", "segment    visitor: ", "did: \"Report Exported\"", "response   text: \"Have this report sent to you <weekly>\"", "rollout    share 100 %, treatment 50 %, by visitor",
		"surface reports.banner needs 2 approvals, of legal", "content    sha256:", "approvals/schedule-report.yaml: approved by ada@example.com",
		"missing: 1 approval, an approval of legal",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("approve doesn't say %q:\n%s", want, out)
		}
	}

	// By a raw key, in a file of PKCS #8.
	der, err := x509.MarshalPKCS8PrivateKey(a.raw)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, at("raw"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if code, out, errs := command(t, "", "approve", ruleName, "--site", a.site, "--key", at("raw")); code != exitOK || !strings.Contains(out, "approved by raw@example.com\ninvite-teammate: needs no approval") {
		t.Errorf("by a raw key: exit status %d, %s\n%s", code, errs, out)
	}

	// By ssh-keygen.
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		lacking(t, "ssh-keygen is not installed (scripts/install-test-apps)")
	}
	code, text, errs := command(t, "", "approve", reportsRule, "--site", a.site, "--as", "bob@example.com", "--print", "--until", "2099-01-01")
	if code != exitOK || !strings.HasPrefix(text, "refract approval 1\nrule: schedule-report\ncontent: sha256:") || !strings.HasSuffix(text, "\nuntil: 2099-01-01T00:00:00Z\n") {
		t.Fatalf("--print: exit status %d, %s\n%s", code, errs, text)
	}
	writeFile(t, at("statement"), text)
	refused("statement.sig: no such file", reportsRule, "--signed", at("statement"))
	sign := func(key string, private ed25519.PrivateKey) {
		t.Helper()
		writeKey(t, at(key), private, "")
		if err := os.RemoveAll(at("statement.sig")); err != nil {
			t.Fatal(err)
		}
		if b, err := exec.Command(keygen, "-Y", "sign", "-q", "-f", at(key), "-n", approvals.Namespace, at("statement")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
	}
	sign("ada", a.ada)
	if code, _, errs := command(t, "", "approve", reportsRule, "--site", a.site, "--signed", at("statement")); code == exitOK || !strings.Contains(errs, "it is by no key that approvers.yaml lists for bob@example.com") {
		t.Errorf("signed by another: exit status %d, %s", code, errs)
	}
	sign("bob", a.bob)
	if out := a.approve(t, "--signed", at("statement")); !strings.Contains(out, "schedule-report: approved by ada@example.com (product), bob@example.com (legal)") {
		t.Errorf("approve --signed says\n%s", out)
	}
	if code, out, errs := command(t, "", "check", a.site); code != exitOK || !strings.Contains(out, "\n  approved by ada@example.com (product), bob@example.com (legal) until 2099-01-01T00:00:00Z\n") || !strings.Contains(out, "\n  needs no approval\n") {
		t.Errorf("check: exit status %d, %s\n%s", code, errs, out)
	}
	var checked struct{ Rules []checkedRule }
	_, out, _ = command(t, "", "check", a.site, "--json")
	if err := json.Unmarshal([]byte(out), &checked); err != nil || len(checked.Rules) != 2 || len(checked.Rules[1].Approvals.By) != 2 || len(checked.Rules[1].Approvals.Missing) != 0 {
		t.Errorf("check --json: %v\n%s", err, out)
	}
	// An old signature is not taken again once the rule is another.
	editFile(t, filepath.Join(a.site, "rules", reportsRule+".yaml"), func(s string) string { return strings.Replace(s, "<weekly>", "<daily>", 1) })
	refused("the rule was edited after it was printed", reportsRule, "--signed", at("statement"))
}
