package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/approvals"
	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
	"github.com/seed14307185/refract/store"
)

// approving is a call of refract approve.
type approving struct {
	site, as, until, signed string
	printOnly               bool
	keys                    keySource

	rule      *rules.Rule
	approvers []rules.Approver // who may sign, as --as says
	now       time.Time
}

func newApproveCommand(now func() time.Time) *cobra.Command {
	var a approving
	cmd := &cobra.Command{
		Use:   "approve RULE",
		Short: "Sign a rule's content with an SSH key, so that it may be served",
		Long: "Sign a rule's content with an SSH key, and put the approval into approvals/RULE.yaml.\n\n" +
			"Without --key and --agent, the agent's keys and then ~/.ssh/id_ed25519, id_ecdsa and id_rsa\n" +
			"are tried: the first one that approvers.yaml lists signs.\n\n" +
			"With --print, nothing is signed but what would be is printed, for\n" +
			"  refract approve RULE --as ID --print > FILE\n" +
			"  ssh-keygen -Y sign -f KEY -n " + approvals.Namespace + " FILE\n" +
			"  refract approve RULE --signed FILE",
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.now = now().UTC().Truncate(time.Second)
			return a.run(cmd, args[0])
		},
	}
	cmd.Flags().StringVar(&a.site, "site", "", "the site directory (default: this one if it has a refract.yaml, else site)")
	cmd.Flags().StringVar(&a.keys.file, "key", "", "the file of the private key; or of a public one, whose private part the agent has")
	cmd.Flags().BoolVar(&a.keys.agent, "agent", false, "sign with the agent of SSH_AUTH_SOCK alone")
	cmd.Flags().StringVar(&a.as, "as", "", "the approver's id in approvers.yaml (default: whose key it is)")
	cmd.Flags().StringVar(&a.until, "until", "", "when the approval ends: a day such as 2027-03-01, or a time")
	cmd.Flags().BoolVar(&a.printOnly, "print", false, "print what would be signed, and sign nothing")
	cmd.Flags().StringVar(&a.signed, "signed", "", "take what --print printed to this file, and its signature from FILE.sig")
	return cmd
}

func (a *approving) run(cmd *cobra.Command, rule string) error {
	if a.site == "" {
		a.site = siteArg(nil)
	}
	st, err := a.statement(rule)
	if err != nil {
		return err
	}
	if a.printOnly {
		if a.as == "" {
			return usageErrorf("--print needs --as: the approver is part of what is signed")
		}
		_, err := io.WriteString(cmd.OutOrStdout(), st.Text())
		return err
	}
	var signature string
	if a.signed != "" {
		st, signature, err = a.readSigned()
	} else {
		a.show(cmd)
		st.By, signature, err = a.sign(cmd, st)
	}
	if err != nil {
		return err
	}
	if err := rules.AddApproval(a.site, st, signature); err != nil {
		return fmt.Errorf("writing the approval: %w", err)
	}
	set, err := rules.Load(a.site)
	if err != nil {
		return err
	}
	r := set.Rule(rule)
	if !slices.ContainsFunc(r.Approvals, func(x rules.Approval) bool { return x.By == st.By }) {
		return fmt.Errorf("the approval of %s was written, but doesn't count: %s", st.By, strings.Join(r.Objections(a.now), "; "))
	}
	cmd.Printf("wrote %s: approved by %s\n", filepath.Join(a.site, "approvals", rule+".yaml"), st.By)
	cmd.Printf("%s: %s\n", rule, r.ApprovalsInWords(a.now))
	return nil
}

// statement reads the site directory and returns what is to be signed, by --as.
func (a *approving) statement(rule string) (st approvals.Statement, err error) {
	set, err := rules.Load(a.site)
	if err != nil {
		return st, err
	}
	if a.rule = set.Rule(rule); a.rule == nil {
		names := []string{}
		for _, r := range set.Rules {
			names = append(names, r.Name)
		}
		return st, fmt.Errorf("there is no rule %q\nhint: there are %s", rule, strings.Join(names, ", "))
	}
	all, err := rules.Approvers(a.site, a.now)
	if err != nil {
		return st, err
	}
	for _, who := range all {
		if a.as == "" || who.ID == a.as {
			a.approvers = append(a.approvers, who)
		}
	}
	switch {
	case len(all) == 0:
		return st, errors.New("nobody may approve: approvers.yaml lists no key\nhint: approvers: {ada@example.com: {keys: [\"ssh-ed25519 AAAA…\"]}}")
	case len(a.approvers) == 0:
		return st, fmt.Errorf("%s may not approve: approvers.yaml doesn't list them, or they are revoked or their time is over", a.as)
	}
	st = approvals.Statement{Rule: rule, Content: a.rule.Content, By: a.as, At: a.now}
	if a.until != "" {
		if st.Until, err = parseDay(a.until); err != nil {
			return st, usageErrorf("--until: %w", err)
		}
		if !st.Until.After(a.now) {
			return st, usageErrorf("--until: %s is over", a.until)
		}
	}
	return st, nil
}

func parseDay(s string) (t time.Time, err error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err = time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return t, fmt.Errorf("%q is not a day such as 2027-03-01 or a time such as 2027-03-01T09:00:00Z", s)
}

// show prints what is approved.
func (a *approving) show(cmd *cobra.Command) {
	r := a.rule
	cmd.Printf("%s (%s): %s\n", r.Name, r.State, r.Sentence())
	cmd.Printf("  segment    %s: %s\n", r.Segment.Who, r.Segment.Condition)
	switch res := &r.Response; {
	case res.File != "":
		cmd.Printf("  response   %s: %s, %d bytes\n", res.Operation, filepath.Join(a.site, "responses", res.File), len(res.HTML))
	case len(res.Attributes) > 0:
		for _, attr := range res.Attributes {
			value := fmt.Sprintf("%q", attr.Value)
			if attr.Remove {
				value = "removed"
			}
			cmd.Printf("  response   %s: %s %s\n", res.Operation, attr.Name, value)
		}
	default:
		cmd.Printf("  response   %s: %q\n", res.Operation, res.HTML)
	}
	cmd.Printf("  rollout    share %.4g %%, treatment %.4g %%, by %s, priority %d\n", 100*r.Rollout.Share, 100*r.Rollout.Treatment, r.Unit, r.Priority)
	if u := r.Rollout.Undecided; u.After > 0 {
		then := "held"
		if u.Revert {
			then = "rolled back"
		}
		cmd.Printf("  undecided  after %s it is %s\n", rules.FormatDuration(u.After), then)
	}
	if !r.Expires.IsZero() {
		cmd.Printf("  expires    %s\n", r.Expires.Format(time.RFC3339))
	}
	if r.Owner != "" {
		cmd.Printf("  owner      %s, whose own approval doesn't count\n", r.Owner)
	}
	cmd.Printf("  policy     surface %s %s\n", r.Surface.Name, r.Surface.Policy)
	cmd.Printf("  content    %s\n", r.Content)
}

// sign finds a key that is listed and signs with it.
func (a *approving) sign(cmd *cobra.Command, st approvals.Statement) (by, signature string, err error) {
	who, signer, err := a.keys.find(cmd, a.approvers)
	if err != nil {
		return "", "", err
	}
	if err := a.notTheAuthor(who.ID); err != nil {
		return "", "", err
	}
	st.By = who.ID
	if signature, err = approvals.Sign(st, who.Key, signer); err != nil {
		return "", "", fmt.Errorf("signing with the key %s: %w", who.Key.Fingerprint(), err)
	}
	return who.ID, signature, nil
}

func (a *approving) notTheAuthor(id string) error {
	if strings.EqualFold(id, a.rule.Owner) {
		return fmt.Errorf("%s is the owner of %s: an author's own approval doesn't count\nhint: somebody else of approvers.yaml has to approve it", id, a.rule.Name)
	}
	return nil
}

// readSigned reads a statement and a signature that were made elsewhere.
func (a *approving) readSigned() (st approvals.Statement, signature string, err error) {
	text, err := os.ReadFile(a.signed)
	if err != nil {
		return st, "", err
	}
	armor, err := os.ReadFile(a.signed + ".sig")
	if err != nil {
		return st, "", fmt.Errorf("%w\nhint: ssh-keygen -Y sign -f KEY -n %s %s", err, approvals.Namespace, a.signed)
	}
	if st, err = approvals.ParseStatement(string(text)); err != nil {
		return st, "", fmt.Errorf("%s: %w", a.signed, err)
	}
	switch {
	case st.Rule != a.rule.Name:
		return st, "", fmt.Errorf("%s is about the rule %s", a.signed, st.Rule)
	case st.Content != a.rule.Content:
		return st, "", fmt.Errorf("%s is about another content: the rule was edited after it was printed\nhint: print and sign it anew", a.signed)
	}
	if err := a.notTheAuthor(st.By); err != nil {
		return st, "", err
	}
	sig, err := approvals.ParseSignature(string(armor))
	if err != nil {
		return st, "", fmt.Errorf("%s.sig: %w", a.signed, err)
	}
	why := fmt.Errorf("it is by no key that approvers.yaml lists for %s", st.By)
	for _, who := range a.approvers {
		if who.ID == st.By && sig.By(who.Key) {
			if why = sig.Verify(st, who.Key); why == nil {
				return st, string(armor), nil
			}
		}
	}
	return st, "", fmt.Errorf("%s.sig: %w", a.signed, why)
}

// checkedRule is a rule of refract check --json.
type checkedRule struct {
	Name      string                 `json:"name"`
	State     rules.State            `json:"state"` // as the file says
	Sentence  string                 `json:"sentence"`
	Version   string                 `json:"version"`
	Approvals console.ApprovalStatus `json:"approvals"`
}

func printChecked(cmd *cobra.Command, set *rules.Set, now time.Time) error {
	list := []checkedRule{}
	for _, r := range set.Rules {
		list = append(list, checkedRule{r.Name, r.State, r.Sentence(), r.Version, console.ApprovalsOf(r, now)})
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Revision string        `json:"revision"`
		Rules    []checkedRule `json:"rules"`
	}{set.Revision, list})
}

// printUnapproved says of the rules that would be served what keeps them from it,
// and which of them nobody has to approve.
func printUnapproved(out io.Writer, list []console.RuleStatus) error {
	var b strings.Builder
	var free []string
	for _, r := range list {
		switch {
		case r.State == "unapproved":
			fmt.Fprintf(&b, "%s is %s\n", r.Name, r.Approvals.Standing)
			for _, why := range r.Approvals.Refused {
				fmt.Fprintf(&b, "  doesn't count: %s\n", why)
			}
		case r.State != "draft" && r.Approvals.Policy.Count == 0:
			free = append(free, r.Name)
		}
	}
	if len(free) > 0 {
		fmt.Fprintf(&b, "needs no approval: %s\n", strings.Join(free, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// whoApproved is what the ledger's table says of a load's approvals.
func whoApproved(list []store.Approved) string {
	var all []string
	for _, a := range list {
		var by []string
		for _, who := range a.By {
			by = append(by, who.By)
		}
		all = append(all, a.Rule+" approved by "+strings.Join(by, ", "))
	}
	return strings.Join(all, "; ")
}

// logApprovals says which rules of a set are served though nobody approved them,
// and which are not for that.
func (e *edge) logApprovals(set *rules.Set) {
	var free []string
	for _, r := range set.Rules {
		if r.State != rules.Live {
			continue
		}
		if r.Surface.Policy.Count == 0 {
			free = append(free, r.Name)
		} else if now := e.now(); !r.Approved(now) {
			e.log.Warn("a rule is not served: it is not approved", slog.String("rule", r.Name), slog.String("missing", strings.Join(r.Missing(now), ", ")))
		}
	}
	if len(free) > 0 {
		e.log.Info("rules that need no approval", slog.String("rules", strings.Join(free, " ")))
	}
}
