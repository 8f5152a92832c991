package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed14307185/refract/outcomes"
	"github.com/seed14307185/refract/rules"
)

const (
	firefoxAgent  = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
	chromiumAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// TestSampleRatioOfABrowser has treatment lost in one browser, while all together
// are as many as they should be.
func TestSampleRatioOfABrowser(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><html><head><title>p</title></head><body><p data-surface="banner">old</p></body></html>`)
	}))
	t.Cleanup(app.Close)
	dir := truthSite(t, []*fate{{rule: "banner", guardrail: "tolerate: 10%"}}, app.URL)
	set, err := rules.Load(filepath.Join(dir, "site"))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, dir)
	due := map[rules.Arm]map[string]int{rules.Treatment: {chromiumAgent: 200}, rules.Control: {chromiumAgent: 110, firefoxAgent: 150}}
	var joined []map[string]any
	var visits [][2]string
	for i := 0; len(visits) < 460; i++ {
		who := fmt.Sprint("person-", i)
		arm, _ := set.Rule("banner").Assign(who)
		for _, agent := range []string{chromiumAgent, firefoxAgent} {
			if due[arm][agent] > 0 {
				due[arm][agent]--
				visits = append(visits, [2]string{who, agent})
				joined = append(joined, map[string]any{"type": "track", "event": "Joined", "userId": who})
				break
			}
		}
	}
	r.track(joined)
	for _, v := range visits {
		if resp, _ := r.do(http.MethodGet, "/banner", v[0], nil, "User-Agent", v[1]); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	r.settle()

	st := r.rule("banner")
	srm := st.Verdict.SRM
	if srm.State != outcomes.SRMInvalid || srm.Browser != rules.Firefox || srm.Browsers.Chromium.State != outcomes.SRMFine || outcomes.AnytimeP(srm.LogBF) < .1 {
		t.Errorf("the sample ratio is %+v of %+v and %+v", srm, st.Treatment, st.Control)
	}
	if st.Answer != outcomes.Invalid {
		t.Errorf("did it help: %s", st.Answer)
	}
	text := r.mustCommand("report", "banner")
	for _, says := range []string{"banner: invalid\n", "among units of the browser class firefox", "  browsers   chromium 200/110, firefox 0/150 invalid (ln BF 9.749", "  split      invalid of firefox: "} {
		if !strings.Contains(text, says) {
			t.Errorf("the report does not say %q:\n%s", says, text)
		}
	}
	if page := r.adminPage("/rules/banner"); !strings.Contains(page, "<dt>Sample ratio</dt><dd>invalid of firefox: ") || !strings.Contains(page, "firefox 0/150 invalid") {
		t.Errorf("the page is\n%s", page)
	}
	command := st.Recompute[len(st.Recompute)-1]
	var got struct{ P float64 }
	if err := json.Unmarshal([]byte(r.mustStats(command+" --json")), &got); err != nil || !sameFigure(got.P, srm.P) {
		t.Errorf("%s: %v, %v, the report has %v", command, got, err, srm.P)
	}
	r.exported("banner")
}

// mustStats runs a command that a report has.
func (r *refract) mustStats(command string) string {
	r.t.Helper()
	args, ok := strings.CutPrefix(command, "refract stats ")
	out, err := stats(args)
	if !ok || err != nil {
		r.t.Fatalf("%s: %v", command, err)
	}
	return out
}
