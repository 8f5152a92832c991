package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"
)

// Refract is a running refract serve.
type Refract struct {
	*Process
	Site  string // the site directory
	Admin string // URL of the admin listener
	TLS   string // address of the TLS listener, if there is one
}

// Rule is a live rule that swaps a region for 99 % of the visitors with the
// cookie "user" who have been at /seen.
type Rule struct{ Name, Surface, Fragment string }

// Setup is what a site directory says.
type Setup struct {
	Name   string
	Origin string // "host:port"
	// Response is the time-out of an origin's answer, such as "2s"; empty: the
	// default.
	Response string
	Rules    []Rule
	// TLS adds a listener with a certificate for "localhost" and 127.0.0.1.
	TLS bool
	// Extra is more YAML for refract.yaml.
	Extra string
}

// StartRefract writes a site directory and serves it by the binary.
func (l *Lab) StartRefract(binary string, s Setup) (*Refract, error) {
	addrs, err := Addrs(3)
	if err != nil {
		return nil, err
	}
	r := &Refract{Site: filepath.Join(l.Dir, s.Name, "site"), Admin: "http://" + addrs[1]}
	origin := "http://" + s.Origin
	if s.Response != "" {
		origin = fmt.Sprintf("{to: %q, response: %s}", origin, s.Response)
	}
	edge := fmt.Sprintf("listen: %s\nadmin: %s\norigin: %s\ndata: %s\nidentity: {visitor: [cookie:user]}\n"+
		"events: [{event: Seen, request: ANY /seen}]\n%s", addrs[0], addrs[1], origin, filepath.Join(l.Dir, s.Name, "data"), s.Extra)
	if s.TLS {
		r.TLS = addrs[2]
		cert, key, err := l.Certificate()
		if err != nil {
			return nil, err
		}
		edge += fmt.Sprintf("tls: {listen: %s, redirect: false, certificates: [{file: %s, key: %s}]}\n", r.TLS, cert, key)
	}
	files := map[string]string{
		"refract.yaml":       edge,
		"segments/seen.yaml": "describe: Everybody who has been at /seen\nwho: visitor\nall: [{did: Seen}]\n",
	}
	for _, rule := range s.Rules {
		files["rules/"+rule.Name+".yaml"] = fmt.Sprintf("owner: lab@example.com\nsegment: seen\nsurface: %s\nresponse: {inner: %s.html}\n"+
			"metric: {event: Good, within: 7d, expect: increase}\nguardrail: {event: Bad, within: 7d, tolerate: 10%%}\nunit: visitor\n"+
			"rollout: {share: 100%%, treatment: 99%%}\nexpires: 2036-01-01\nstate: live\n", rule.Surface, rule.Name)
		files["responses/"+rule.Name+".html"] = rule.Fragment
	}
	for name, content := range files {
		if _, err := l.Write(filepath.Join(s.Name, "site", name), content); err != nil {
			return nil, err
		}
	}
	if r.Process, err = l.Start(s.Name, addrs[0], binary, "serve", "--site", r.Site); err != nil {
		return nil, err
	}
	return r, nil
}

// Schema is what a binary knows of refract.yaml: its keys, each with its JSON
// schema. A check can so leave out what an older one does not know.
func Schema(ctx context.Context, binary string) (map[string]json.RawMessage, error) {
	out, err := Output(ctx, "", binary, "schema", "edge")
	if err != nil {
		return nil, err
	}
	var schema struct{ Properties map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(out), &schema); err != nil {
		return nil, err
	}
	return schema.Properties, nil
}

// Call asks the admin API and decodes the answer into out, unless that is nil.
func (r *Refract) Call(method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, r.Admin+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err = io.ReadAll(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// Treated finds a visitor to whom path is shown as want, having sent each
// candidate to /seen. The id is the value of the cookie "user".
func (r *Refract) Treated(ctx context.Context, path, want string) (string, error) {
	got := ""
	for i := range 20 {
		visitor := fmt.Sprintf("visitor-%d", i)
		if _, err := r.page(ctx, "/seen", visitor); err != nil {
			return "", err
		}
		// What is observed is in the store some 20 ms after the response.
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			var err error
			if got, err = r.page(ctx, path, visitor); err != nil {
				return "", err
			}
			if got == want {
				return visitor, nil
			}
		}
	}
	return "", fmt.Errorf("%s: no visitor is shown %s as it should be: %s", r.Name, path, difference(got, want))
}

func (r *Refract) page(ctx context.Context, path, visitor string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Addr+path, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Cookie", "user="+visitor)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// difference tells where two texts part.
func difference(got, want string) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("after %d bytes %.40q, not %.40q", i, got[i:], want[i:])
}
