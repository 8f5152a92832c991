package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/rogpeppe/go-internal/txtar"
)

const (
	packagedWiki = "/usr/share/dokuwiki"
	packagedConf = "/etc/dokuwiki"

	region     = "/projects/7" // the page that an editor writes a region into
	regionTag  = "<div class=\"card\" data-surface='project-home.card'>%s</div>"
	regionCard = "<p>Seven is <b>the mill</b> &amp; its wheel\n<p>åäö\n"
)

// startWiki runs the packaged DokuWiki, untouched, on settings and pages of its
// own, and returns its host and port.
func startWiki(t *testing.T) string {
	t.Helper()
	php, err := exec.LookPath("php")
	if _, e := os.Stat(packagedWiki + "/doku.php"); err != nil || e != nil {
		lacking(t, "DokuWiki and php are not installed (scripts/install-test-apps): %v", errors.Join(err, e))
	}
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"attic", "cache", "index", "locks", "log", "media_attic", "media_meta", "meta", "tmp"} {
		write("data/"+name+"/_dummy", nil)
	}
	packaged, err := os.ReadDir(packagedConf)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range packaged {
		if f.Type().IsRegular() { // the links are this machine's own passwords
			write("conf/"+f.Name(), read(filepath.Join(packagedConf, f.Name())))
		}
	}
	own, err := txtar.ParseFile("testdata/dokuwiki/wiki.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range own.Files {
		name := f.Name
		if strings.HasPrefix(name, "pages/") || strings.HasPrefix(name, "media/") {
			name = "data/" + name
		}
		write(name, f.Data)
	}
	write("data/media/wiki/logo.png", read(packagedWiki+"/lib/tpl/dokuwiki/images/logo.png"))
	var long strings.Builder // longer than any buffer on the way
	for i := range 200 {
		fmt.Fprintf(&long, "===== Section %d =====\n\nThe wheel has turned %d times.%s\n\n", i, 7*i, strings.Repeat(" Water runs, the stones grind.", 30))
	}
	write("data/pages/handbook/long.txt", []byte(long.String()))

	cmd := exec.Command(php, "-d", "session.save_path="+filepath.Join(dir, "data/tmp"),
		"-S", "127.0.0.1:0", "-t", packagedWiki, filepath.Join(dir, "router.php"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	started, ended := make(chan string, 1), make(chan bool)
	go func() {
		defer close(ended)
		defer close(started)
		listens := regexp.MustCompile(`Development Server \(http://([^)]+)\) started`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := listens.FindSubmatch(lines.Bytes()); m != nil {
				started <- string(m[1])
			}
			if !bytes.Contains(lines.Bytes(), []byte(" 127.0.0.1:")) && !bytes.Contains(lines.Bytes(), []byte("PHP Warning:")) {
				said.Write(append(lines.Bytes(), '\n'))
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-ended
		_ = cmd.Wait() // says that it was killed
		if t.Failed() {
			t.Logf("standard error of php:\n%s", said.Bytes())
		}
	})
	addr, ok := <-started
	if !ok {
		t.Fatal("php did not start to serve")
	}
	return addr
}

// TestDokuWiki stands in front of an app that was not made for it: nothing
// changes while no rule is live, and then one region, for whom it should.
func TestDokuWiki(t *testing.T) {
	rec := newRecorder(t, startWiki(t))
	dir := newSite(t, "../../testdata/sites/loop", "http://"+rec.addr)
	site := func(name, from, to string) {
		t.Helper()
		editFile(t, filepath.Join(dir, "site", name), func(s string) string { return strings.ReplaceAll(s, from, to) })
	}
	rule := filepath.Join("rules", ruleName+".yaml")
	site("refract.yaml", "POST /reports/*/export", "GET /feed.php")
	site("surfaces/project-home.card.yaml", "[/projects/*]", "[/projects/*, /doku.php]")
	site(rule, "trial-admins-without-teammate", "exporters")
	site(rule, "state: live", "state: draft")
	site("rules/schedule-report.yaml", "state: live", "state: draft")
	w := &wikiTest{r: start(t, dir), rec: rec}

	editor := &browser{w: w, cookies: map[string]string{}, own: "__Host-refract=left-from-before", lines: append(slices.Clone(plainLines), "Accept-Encoding: gzip, deflate")}
	t.Run("an editor writes a region", func(t *testing.T) { w.write(t, editor) })
	if t.Failed() {
		t.FailNow()
	}
	var seen []string
	t.Run("nothing live", func(t *testing.T) { seen = w.nothingLive(t, editor) })
	site(rule, "state: draft", "state: live")
	w.r.mustCommand("reload")
	t.Run("live", func(t *testing.T) { w.live(t, dir, seen) })
	w.r.mustCommand("rollback", ruleName, "--why", "over")
	t.Run("rolled back", func(t *testing.T) {
		treatment, control := arms(t, dir, 1)
		for _, v := range []string{treatment[0], control[0]} {
			b := &browser{w: w, own: "user=" + v, lines: plainLines}
			b.visit(t, http.MethodGet, region, "").same(t)
		}
	})
}

// write has the editor sign in, look at a preview, and save a page.
func (w *wikiTest) write(t *testing.T, editor *browser) {
	form := editor.visit(t, http.MethodGet, region+"?do=login", "")
	form.same(t)
	in := editor.submit(t, form, "form#dw__login", region+"?do=login", url.Values{"u": {"editor"}, "p": {"edit"}})
	in.same(t)
	if in.got.status() != "302" {
		t.Fatalf("the editor is not signed in: %s", in.got.start)
	}
	form = editor.visit(t, http.MethodGet, region+"?do=edit", "")
	form.same(t)
	text := "====== Seven ======\n\n<HTML>\n" + fmt.Sprintf(regionTag, "\n"+regionCard) + "\n</HTML>\n\n===== After =====\n\nThe rest, with a [[projects:8|link]].\n"
	text = strings.ReplaceAll(text, "\n", "\r\n") // as forms send it
	preview := editor.submit(t, form, "form#dw__editform", region, url.Values{"wikitext": {text}, "do[preview]": {"1"}})
	preview.same(t)
	saved := editor.submit(t, preview, "form#dw__editform", region, url.Values{"wikitext": {text}, "do[save]": {"1"}, "summary": {"a card"}})
	saved.same(t)
	if saved.got.status() != "302" {
		t.Fatalf("the page is not saved: %s", saved.got.start)
	}
}

// nothingLive crawls the wiki and returns the targets.
func (w *wikiTest) nothingLive(t *testing.T, editor *browser) []string {
	stranger := &browser{w: w, lines: []string{"Accept-Encoding: gzip", "User-Agent: Mozilla/5.0"}}
	known := &browser{w: w, cookies: map[string]string{}, own: "user=reader", lines: plainLines}
	seen := w.crawl(t, stranger, 120)
	count := map[string]int{}
	for _, target := range seen {
		for _, b := range []*browser{known, editor} {
			x := b.visit(t, http.MethodGet, target, "")
			x.same(t)
			count[x.got.status()]++
			count[x.got.header.Get("Content-Encoding")]++
			if etag, modified := x.got.header.Get("Etag"), x.got.header.Get("Last-Modified"); etag != "" {
				x = b.visit(t, http.MethodGet, target, "", "If-None-Match: "+etag, "If-Modified-Since: "+modified)
				x.same(t)
				count[x.got.status()]++
			}
		}
		x := known.visit(t, http.MethodHead, target, "")
		x.same(t)
	}
	for _, target := range []string{
		"/lib/exe/fetch.php?media=wiki:logo.png", "/lib/exe/fetch.php?media=wiki:notes.txt", "/lib/tpl/dokuwiki/images/logo.png",
	} {
		for _, of := range []string{"bytes=0-99", "bytes=-7", "bytes=0-9,20-29", "bytes=100000-"} {
			x := known.visit(t, http.MethodGet, target, "", "Range: "+of)
			x.same(t)
			count[x.got.status()]++
		}
	}
	for _, body := range []string{"do=search&q=wheel", "do=search&q=sm%C3%B6rg%C3%A5s&id=start", "call=qsearch&q=e"} {
		target := "/doku.php"
		if strings.HasPrefix(body, "call") {
			target = "/lib/exe/ajax.php"
		}
		x := known.visit(t, http.MethodPost, target, body)
		x.same(t)
		count["POST "+x.got.status()]++
	}
	for _, target := range []string{"/?", "/doku.php?", "/doku.php?id=a;b&x=%zz&=&&y", "//start", "/people/%C3%A5ke", "/people/%c3%a5ke", "/a%2Fb", "/a%7Cb", "/./handbook/../start", "/doku.php/x", "/~!$&'()*+,;=:@", "/a|b^c", "/start?do=redirect"} {
		x := known.visit(t, http.MethodGet, target, "")
		x.same(t)
		count[x.got.status()]++
	}
	bare := &browser{w: w} // not even a User-Agent
	bare.visit(t, http.MethodGet, region, "").same(t)
	bare.visit(t, http.MethodGet, region, "", "Cookie: a=1; __Host-refract=x", "Cookie: b=\"2;;\"; c").same(t)
	bare.visit(t, http.MethodPost, region, "", "Content-Length: 0").same(t)
	bare.visit(t, http.MethodOptions, region, "").same(t)
	for _, want := range []string{"200", "302", "304", "404", "206", "gzip", "", "POST 200"} {
		if count[want] == 0 {
			t.Errorf("no %q among %v", want, count)
		}
	}
	if len(seen) < 30 {
		t.Errorf("the crawl met %d URLs only: %q", len(seen), seen)
	}
	t.Logf("%d URLs, %d exchanges, %v", len(seen), w.exchanges, count)
	return seen
}

// crawl follows the links of every page, from a few on, and returns the targets
// it asked for. Of the actions and scripts that every page links to, it takes
// the first few.
func (w *wikiTest) crawl(t *testing.T, b *browser, most int) []string {
	edge, err := url.Parse(w.r.edge)
	if err != nil {
		t.Fatal(err)
	}
	queue := []string{"/", "/doku.php", region, region + "?rev=1", "/projects/8?do=export_xhtml", "/feed.php", "/lib/exe/xmlrpc.php",
		"/doku.php?do=search&q=wheel", "/index.php?id=notes:index", "/lib/exe/fetch.php?media=wiki:notes.txt", "/lib/images/missing.png"}
	kinds := map[string]int{}
	for i := 0; i < min(len(queue), most); i++ {
		x := b.visit(t, http.MethodGet, queue[i], "")
		x.same(t)
		if !strings.HasPrefix(x.got.header.Get("Content-Type"), "text/html") {
			continue
		}
		x.page(t).Find("a[href], link[href], script[src], img[src]").Each(func(_ int, s *goquery.Selection) {
			to, err := edge.Parse(s.AttrOr("href", s.AttrOr("src", "")))
			if err != nil || to.Host != edge.Host || slices.Contains(queue, to.RequestURI()) {
				return
			}
			kind := to.Query().Get("do")
			switch {
			case strings.HasSuffix(to.Path, ".php"):
				kind += to.Path
			case strings.HasPrefix(to.Path, "/_export/"):
				kind = "export"
			}
			if kinds[kind]++; kind == "" || kinds[kind] <= 4 {
				queue = append(queue, to.RequestURI())
			}
		})
	}
	return queue[:min(len(queue), most)]
}

// live is what visitors see of a live rule.
func (w *wikiTest) live(t *testing.T, dir string, seen []string) {
	treatment, control := arms(t, dir, 3)
	for _, v := range slices.Concat(treatment[:2], control[:2]) {
		w.r.get("/feed.php", v) // what the segment is about
	}
	w.r.settle()
	response, err := os.ReadFile(filepath.Join(dir, "site", "responses", ruleName+".html"))
	if err != nil {
		t.Fatal(err)
	}
	card, treated := fmt.Appendf(nil, regionTag, "\n"+regionCard), fmt.Appendf(nil, regionTag, response)
	gzipped := append(slices.Clone(plainLines), "Accept-Encoding: gzip"+undecodable, "If-None-Match: \"x\"")
	as := func(visitor string, decided bool) *browser {
		return &browser{w: w, own: "user=" + visitor, lines: gzipped, decided: decided}
	}
	shown := func(v string) {
		t.Helper()
		for _, target := range []string{region, "/doku.php?id=projects:7", region + "?do=show"} {
			x := as(v, true).visit(t, http.MethodGet, target, "")
			if x.made.header.Get("Content-Encoding") != "gzip" {
				t.Errorf("the origin's page is not coded: %q", x.made.header)
			}
			made := x.made.decoded(t)
			if bytes.Count(made, card) != 1 {
				t.Fatalf("the region is not on the origin's page once: %s", made)
			}
			x.sameDecoded(t, x.personal(true), bytes.Replace(made, card, treated, 1))
		}
	}
	for _, v := range treatment[:2] {
		shown(v)
		x := as(v, true).visit(t, http.MethodHead, region, "")
		x.sameBut(t, x.personal(true), nil)
		x = as(v, true).visit(t, http.MethodPost, region, "do=show")
		x.sameBut(t, x.personal(false), x.made.body)
	}
	for _, v := range control[:2] {
		x := as(v, true).visit(t, http.MethodGet, region, "")
		x.sameDecoded(t, x.personal(true), x.made.decoded(t))
	}
	for _, v := range []string{treatment[2], control[2]} { // outside the segment
		x := as(v, false).visit(t, http.MethodGet, region, "")
		x.sameBut(t, x.personal(false), x.made.body)
	}
	w.r.settle()
	if st := w.r.rule(ruleName); st.Treatment.Exposed != 2 || st.Control.Exposed != 2 {
		t.Errorf("exposed: %d and %d, want 2 and 2", st.Treatment.Exposed, st.Control.Exposed)
	}

	// Who has no id gets one, and nothing else.
	first := &browser{w: w, cookies: map[string]string{}, lines: plainLines}
	x := first.visit(t, http.MethodGet, region, "")
	h := x.personal(false)
	minted := x.got.header["Set-Cookie"]
	if n := len(minted) - 1; n < 0 || !strings.HasPrefix(minted[n], "__Host-refract=") {
		t.Errorf("a stranger gets %q", minted)
	} else {
		h["Set-Cookie"] = append(slices.Clone(h["Set-Cookie"]), minted[n])
	}
	x.sameBut(t, h, x.made.body)
	x = first.visit(t, http.MethodGet, region, "")
	x.sameBut(t, x.personal(false), x.made.body)

	// Nothing else changes for who is in the segment: not the source in the
	// edit form, not a page that only mentions the region.
	seen = append(seen, region+"?do=edit", region+"?do=export_raw", region+"?do=diff", region+"?do=revisions")
	for _, target := range seen {
		for _, v := range []string{treatment[0], control[0]} {
			x := as(v, true).visit(t, http.MethodGet, target, "")
			if !touched(target) || x.made.status() != "200" || !strings.HasPrefix(x.made.header.Get("Content-Type"), "text/html") {
				x.same(t)
				continue
			}
			text := x.made.decoded(t)
			if v == treatment[0] {
				text = bytes.Replace(text, card, treated, 1)
			}
			x.sameDecoded(t, x.personal(true), text)
		}
	}

	w.r.get("/feed.php", treatment[2]) // enters the segment now
	w.r.settle()
	shown(treatment[2])
}
