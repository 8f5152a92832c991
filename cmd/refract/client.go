package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed14307185/refract/console"
	"github.com/seed14307185/refract/rules"
)

const (
	adminTimeout = 30 * time.Second
	// A body that is a file takes what it takes. From its end, or from the head if
	// that is refused, an answer must come within these.
	uploadTimeout  = 5 * time.Minute
	refusalTimeout = 5 * time.Second
)

// adminClient talks to the admin listener of a running refract.
type adminClient struct {
	address string
	site    string
	token   string
}

// flags adds the flags that say where the admin listener is.
func (c *adminClient) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.address, "admin", "", "address of the admin listener, HOST:PORT or unix:PATH (default: that of the site directory, else 127.0.0.1:9180)")
	cmd.Flags().StringVar(&c.site, "site", "site", "the site directory, to read the address from")
	cmd.Flags().StringVar(&c.token, "token", os.Getenv("REFRACT_TOKEN"), "token for writes (default: $REFRACT_TOKEN, else that of the site directory)")
}

// resolve fills in what the flags leave open from the site directory, if there
// is one that can be read.
func (c *adminClient) resolve() {
	if c.address == "" || c.token == "" {
		// What is wrong elsewhere in the file, such as a secret that is not in
		// this shell's environment, is not this command's business.
		edge, _ := rules.LoadEdge(c.site)
		c.address = cmp.Or(c.address, edge.Admin, rules.DefaultAdmin)
		c.token = cmp.Or(c.token, edge.Token)
	}
	c.address = strings.TrimSuffix(strings.TrimPrefix(c.address, "http://"), "/") // as it stands in a browser
}

// call asks the admin API and decodes its answer into out, unless that is nil.
// in is the body, as JSON or, if it is a reader, as it is; nil: none. header is names and values of further headers, in turn.
func (c *adminClient) call(ctx context.Context, method, path string, in, out any, header ...string) error {
	body, timeout, transport := io.Reader(http.NoBody), adminTimeout, &http.Transport{}
	switch in := in.(type) {
	case nil:
	case io.Reader:
		body, timeout = in, 0
		transport.ResponseHeaderTimeout = uploadTimeout
		// Who is not let in needs not send it.
		transport.ExpectContinueTimeout = refusalTimeout
		header = append(header, "Expect", "100-continue")
	default:
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := c.ask(ctx, &http.Client{Transport: transport, Timeout: timeout}, method, path, body, header...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = b // what refuses may have something to say
	}
	if resp.StatusCode != http.StatusOK {
		return refused(b)
	}
	switch out.(type) {
	case nil, *json.RawMessage:
		return nil
	default:
		return json.Unmarshal(b, out)
	}
}

// ask sends a request to the admin listener. client has an http.Transport, which
// is made to find it.
func (c *adminClient) ask(ctx context.Context, client *http.Client, method, path string, body io.Reader, header ...string) (*http.Response, error) {
	c.resolve()
	host := c.address
	if socket, ok := strings.CutPrefix(c.address, "unix:"); ok {
		host = console.UnixHost
		client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	if strings.HasPrefix(host, ":") {
		host = "127.0.0.1" + host
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, body)
	if err != nil {
		return nil, usageErrorf("admin address %q: %w", c.address, err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no refract answers at %s: %w\nhint: is it running? --admin says where else to ask", c.address, errors.Unwrap(err))
	}
	return resp, nil
}

// refused is what an answer that is no success says.
func refused(body []byte) error {
	var f console.Failure
	if json.Unmarshal(body, &f) == nil && f.Error != "" {
		return errors.New(f.Error)
	}
	return errors.New(strings.TrimSpace(string(body)))
}

func newRollbackCommand() *cobra.Command {
	var c adminClient
	var all bool
	var why string
	cmd := &cobra.Command{
		Use:   "rollback RULE|--all",
		Short: "Stop a rule: the next response is the app's own",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usageErrorf("give one rule, or --all")
			}
			if !all {
				return c.change(cmd, args[0], "rollback", why)
			}
			var st console.Status
			if err := c.call(cmd.Context(), http.MethodGet, "/api/status", nil, &st); err != nil {
				return err
			}
			var errs []error
			for _, r := range st.Rules {
				if r.State != "draft" && r.State != "rolled_back" {
					errs = append(errs, c.change(cmd, r.Name, "rollback", why))
				}
			}
			return errors.Join(errs...)
		},
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "stop every rule that is live")
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the ledger")
	return cmd
}

func newResumeCommand() *cobra.Command {
	var c adminClient
	var why string
	cmd := &cobra.Command{
		Use:   "resume RULE",
		Short: "Start a rule that was rolled back: everyone keeps their arm, counting begins anew",
		Args:  usage(cobra.ExactArgs(1)),
		RunE:  func(cmd *cobra.Command, args []string) error { return c.change(cmd, args[0], "resume", why) },
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&why, "why", "", "the reason, for the ledger")
	return cmd
}

// operator is whose command it is, for the ledger.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

func (c *adminClient) change(cmd *cobra.Command, rule, what, why string) error {
	by := console.Change{Who: operator(), Why: why}
	var r console.RuleStatus
	if err := c.call(cmd.Context(), http.MethodPost, "/api/rules/"+url.PathEscape(rule)+"/"+what, by, &r); err != nil {
		return fmt.Errorf("%s %s: %w", what, rule, err)
	}
	cmd.Printf("%s: %s\n", r.Name, r.State)
	return nil
}
