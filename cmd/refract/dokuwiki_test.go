package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
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
		if os.Getenv("CI") == "true" {
			t.Fatalf("DokuWiki and php are not installed: %v", errors.Join(err, e))
		}
		t.Skip("DokuWiki and php are not installed: scripts/install-test-apps does it")
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
	for _, name := range []string{"acronyms.conf", "entities.conf", "license.php", "manifest.json", "mime.conf", "plugins.php", "plugins.required.php", "smileys.conf", "userstyle.css"} {
		write("conf/"+name, read(filepath.Join(packagedConf, name)))
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

// wikiTest is the binary in front of the wiki, with a recorder between them.
type wikiTest struct {
	r         *refract
	rec       *recorder
	exchanges int
}

// browser is somebody who looks at the wiki.
type browser struct {
	w       *wikiTest
	cookies map[string]string // nil: it keeps none
	own     string            // cookies that are not the wiki's, as on the wire
	lines   []string          // further header lines of every request
	decided bool              // somebody for whom the rule decides where its surface may be
}

// plainLines are what a browser sends, and what is easily lost on the way.
var plainLines = []string{
	"accept: text/html,application/xhtml+xml;q=0.9, */*;q=0.1", "Accept-Language: sv,  en;q=0.5",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"X-Twice: b, c", "X-Empty:", "X-Twice: a", "x-ODD_name: \xe5\xe4\xf6 \"q\"", "Sec-Fetch-Mode: navigate", "Via: 1.0 a-cache",
	"Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5",
}

// touched says whether the surface of the rule can be on a page.
func touched(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	rest, below := strings.CutPrefix(path, "/projects/")
	return path == "/doku.php" || below && rest != "" && !strings.Contains(rest, "/")
}

// visit sends a request, and checks what the origin got of it.
func (b *browser) visit(t *testing.T, method, target, body string, lines ...string) exchange {
	t.Helper()
	b.w.exchanges++
	all := append([]string{"Host: " + strings.TrimPrefix(b.w.r.edge, "http://")}, b.lines...)
	all = append(all, lines...)
	if cookie := b.cookie(); cookie != "" {
		all = append(all, "Cookie: "+cookie)
	}
	if body != "" {
		all = append(all, "Content-Type: application/x-www-form-urlencoded")
	}
	x := b.w.rec.through(t, b.w.r.edge, fmt.Sprint(b.w.exchanges), method, target, all, body)
	if b.cookies != nil {
		for _, c := range (&http.Response{Header: http.Header(x.got.header)}).Cookies() {
			if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
				delete(b.cookies, c.Name)
			}
		}
	}

	want := drop(endToEnd(x.asked.header), "Cookie")
	if c := originCookie(x.asked.header.Get("Cookie")); c != "" {
		want["Cookie"] = []string{c}
	}
	if b.decided && touched(target) && (method == http.MethodGet || method == http.MethodHead) {
		want = drop(want, "If-None-Match", "If-Modified-Since", "If-Range", "Range")
		want["Accept-Encoding"] = []string{"identity"}
	}
	for _, d := range headerDiff(want, drop(endToEnd(x.forwarded.header), "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")) {
		t.Errorf("%s %s: the origin gets another %s", method, target, d)
	}
	if x.asked.start != x.forwarded.start {
		t.Errorf("the origin gets %q of %q", x.forwarded.start, x.asked.start)
	}
	if d := bodyDiff(x.asked.body, x.forwarded.body); d != "" {
		t.Errorf("%s %s: the origin gets another request: %s", method, target, d)
	}
	return x
}

// cookie is the Cookie header: one of ours in the middle, if it has that.
func (b *browser) cookie() string {
	var all []string
	for name, value := range b.cookies {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	if b.own != "" {
		all = slices.Insert(all, len(all)/2, b.own)
	}
	return strings.Join(all, "; ")
}

var firstParty = regexp.MustCompile(`(?:^|; )__Host-refract=[^;]*`)

// originCookie is a Cookie header without what is not the origin's.
func originCookie(s string) string {
	return strings.TrimPrefix(firstParty.ReplaceAllString(s, ""), "; ")
}

// same checks that the client got what the origin sent.
func (x exchange) same(t *testing.T) {
	t.Helper()
	x.sameBut(t, drop(endToEnd(x.made.header), "Date"), x.made.body)
}

// sameBut is same for a header and a body that should differ from the
// origin's.
func (x exchange) sameBut(t *testing.T, header textproto.MIMEHeader, body []byte) {
	t.Helper()
	if x.made.status() != x.got.status() {
		t.Errorf("%s: status %s, the origin said %s", x.asked.start, x.got.status(), x.made.status())
	}
	for _, d := range headerDiff(header, drop(endToEnd(x.got.header), "Date")) {
		t.Errorf("%s: %s", x.asked.start, d)
	}
	if d := bodyDiff(body, x.got.body); d != "" {
		t.Errorf("%s: %s", x.asked.start, d)
	}
}

// personal is the header of a page that may be somebody's own.
func (x exchange) personal(decided bool) textproto.MIMEHeader {
	h := drop(endToEnd(x.made.header), "Date", "Expires")
	if decided {
		h = drop(h, "Content-Length", "ETag", "Last-Modified", "Accept-Ranges")
	}
	h["Cache-Control"] = []string{"private, no-cache"}
	if strings.Contains(x.made.header.Get("Cache-Control"), "no-store") {
		h["Cache-Control"] = []string{"private, no-cache, no-store"}
	}
	return h
}

// page parses what a browser got.
func (x exchange) page(t *testing.T) *goquery.Document {
	t.Helper()
	var r io.Reader = bytes.NewReader(x.got.body)
	if x.got.header.Get("Content-Encoding") == "gzip" {
		var err error
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := goquery.NewDocumentFromReader(r)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// submit fills in a form of a page and sends it.
func (b *browser) submit(t *testing.T, on exchange, form, to string, values url.Values) exchange {
	t.Helper()
	doc := on.page(t).Find(form)
	if doc.Length() != 1 {
		t.Fatalf("%s has %d forms %q", on.asked.start, doc.Length(), form)
	}
	doc.Find("input[type=hidden]").Each(func(_ int, s *goquery.Selection) {
		if name := s.AttrOr("name", ""); !values.Has(name) {
			values.Set(name, s.AttrOr("value", ""))
		}
	})
	return b.visit(t, http.MethodPost, to, values.Encode())
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
		treatment, _ := arms(t, dir, 1)
		b := &browser{w: w, own: "user=" + treatment[0], lines: plainLines}
		b.visit(t, http.MethodGet, region, "").same(t)
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
	text := "====== Seven ======\n\n" + "<HTML>\n" + fmt.Sprintf(regionTag, "\n"+regionCard) + "\n</HTML>\n\n===== After =====\n\nThe rest, with a [[projects:8|link]].\n"
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
	known := &browser{w: w, cookies: map[string]string{}, own: "user=visitor-1", lines: plainLines}
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
	for _, target := range []string{"/?", "/doku.php?", "/doku.php?id=a;b&x=%zz&=&&y", "//start", "/people/%C3%A5ke", "/people/%c3%a5ke", "/a%2Fb", "/a%7Cb", "/./handbook/../start", "/doku.php/x", "/~!$&'()*+,;=:@", "/å"} {
		known.visit(t, http.MethodGet, target, "").same(t)
	}
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

// crawl follows the links of every page, from the start page on.
func (w *wikiTest) crawl(t *testing.T, b *browser, most int) []string {
	origin, err := url.Parse(w.r.edge)
	if err != nil {
		t.Fatal(err)
	}
	queue := []string{"/", "/doku.php", region, "/feed.php", "/feed.php?type=atom1&mode=list&ns=projects", "/lib/exe/xmlrpc.php",
		"/doku.php?do=search&q=wheel", "/lib/images/missing.png", "/index.php?id=notes:index", "/lib/exe/fetch.php?media=wiki:notes.txt", "/projects/7?rev=1"}
	known := map[string]bool{}
	for i := 0; i < len(queue) && i < most; i++ {
		x := b.visit(t, http.MethodGet, queue[i], "")
		x.same(t)
		links := []string{x.got.header.Get("Location")}
		if strings.HasPrefix(x.got.header.Get("Content-Type"), "text/html") {
			x.page(t).Find("a[href], link[href], script[src], img[src]").Each(func(_ int, s *goquery.Selection) {
				links = append(links, s.AttrOr("href", s.AttrOr("src", "")))
			})
		}
		page := origin.ResolveReference(&url.URL{Path: "/"})
		for _, link := range links {
			to, err := page.Parse(link)
			if err != nil || link == "" || to.Host != origin.Host {
				continue
			}
			// Once a page: the task runner's URL has the time in it.
			key := regexp.MustCompile(`&\d+$`).ReplaceAllString(to.RequestURI(), "")
			if !known[key] && !strings.Contains(key, "do=logout") {
				known[key] = true
				queue = append(queue, to.RequestURI())
			}
		}
	}
	slices.Sort(queue)
	return slices.Compact(queue)[:min(most, len(queue))]
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
	gzipped := append(slices.Clone(plainLines), "Accept-Encoding: gzip", "If-None-Match: \"x\"")
	as := func(visitor string, decided bool) *browser {
		return &browser{w: w, own: "user=" + visitor, lines: gzipped, decided: decided}
	}
	for _, v := range treatment[:2] {
		for _, target := range []string{region, "/doku.php?id=projects:7", region + "?do=show"} {
			x := as(v, true).visit(t, http.MethodGet, target, "")
			if bytes.Count(x.made.body, card) != 1 {
				t.Fatalf("the region is not on the origin's page once: %s", x.made.body)
			}
			x.sameBut(t, x.personal(true), bytes.Replace(x.made.body, card, treated, 1))
		}
	}
	for _, v := range control[:2] {
		x := as(v, true).visit(t, http.MethodGet, region, "")
		x.sameBut(t, x.personal(true), x.made.body)
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

	// Nothing else changes for somebody in treatment: not the source in the
	// edit form, not a page that only mentions the region.
	member := as(treatment[0], true)
	for _, target := range append(seen, region+"?do=edit", region+"?do=export_raw", region+"?do=diff", region+"?do=revisions", "/projects/8") {
		x := member.visit(t, http.MethodGet, target, "")
		if !touched(target) || x.made.status() != "200" || !strings.HasPrefix(x.made.header.Get("Content-Type"), "text/html") {
			x.same(t)
			continue
		}
		x.sameBut(t, x.personal(true), bytes.Replace(x.made.body, card, treated, 1))
	}
}
