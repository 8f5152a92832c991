package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/seed14307185/refract/rewrite/coding"
)

const (
	maxPage      = 32 << 20 // of a page that a command looks at, decoded, in bytes
	fetchTimeout = 30 * time.Second
)

// page is a page that a command looks at.
type page struct {
	name        string // its URL after redirects, its file, or "-"
	contentType string // as its server says; empty if there is none
	coding      coding.Coding
	body        []byte // decoded, in the page's charset
}

// fetchPage gets a page from its server, as a browser would.
func fetchPage(ctx context.Context, url string) (*page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, usageError{err}
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Accept-Encoding", "gzip, br, zstd, deflate")
	req.Header.Set("User-Agent", "refract/"+buildOf().version)
	client := &http.Client{Timeout: fetchTimeout}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	p := &page{name: resp.Request.URL.Redacted(), contentType: resp.Header.Get("Content-Type")}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", p.name, resp.Status)
	}
	if t, _, _ := mime.ParseMediaType(p.contentType); t != "text/html" {
		return nil, fmt.Errorf("%s is %s, not text/html", p.name, cmp.Or(t, "of no known type"))
	}
	if p.coding, err = coding.Of(resp.Header["Content-Encoding"]); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return p, p.read(resp.Body)
}

// filePage reads a page from a file, or from standard input if that is "-". c
// is the name of its content coding, as codingOf takes it.
func filePage(name string, stdin io.Reader, c string) (*page, error) {
	src := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		src = f
	}
	p := &page{name: name}
	var err error
	if src, p.coding, err = codingOf(c, src); err != nil {
		return nil, err
	}
	return p, p.read(src)
}

// read reads the body, and undoes its coding.
func (p *page) read(src io.Reader) error {
	d := new(coding.Pool).NewDecoder(src, p.coding)
	defer d.Close()
	var err error
	if p.body, err = io.ReadAll(io.LimitReader(d, maxPage+1)); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if len(p.body) > maxPage {
		return fmt.Errorf("%s has more than %d bytes", p.name, maxPage)
	}
	return nil
}

// codingOf returns the coding of that name. For "auto" that is what the first
// bytes of src say; br and deflate can't be told from other bytes. What it
// returns is to be read instead of src.
func codingOf(name string, src io.Reader) (io.Reader, coding.Coding, error) {
	if name != "auto" {
		c, err := coding.Of([]string{name})
		if err != nil {
			return nil, c, usageErrorf("--coding %q is not one of gzip, br, zstd, deflate, identity and auto", name)
		}
		return src, c, nil
	}
	head := make([]byte, 4)
	n, err := io.ReadFull(src, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, coding.Identity, err
	}
	src = io.MultiReader(bytes.NewReader(head[:n]), src)
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b\x08")): // RFC 1952, section 2.3.1
		return src, coding.Gzip, nil
	case bytes.Equal(head, []byte("\x28\xb5\x2f\xfd")): // RFC 8878, section 3.1.1
		return src, coding.Zstd, nil
	}
	return src, coding.Identity, nil
}

// lineAttribute carries the line of a start tag into the tree.
const lineAttribute = "refract-line"

// dom is a parsed page.
type dom struct {
	*goquery.Document
	charset string
	line    map[*html.Node]int // of the start tag, from 1; none for what a parser implies
}

func (p *page) parse() (*dom, error) {
	encoding, name, _ := charset.DetermineEncoding(declared(p.body), p.contentType)
	text, err := encoding.NewDecoder().Bytes(p.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(numbered(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	d := &dom{doc, name, map[*html.Node]int{}}
	doc.Find("[" + lineAttribute + "]").Each(func(_ int, s *goquery.Selection) {
		if n, err := strconv.Atoi(s.AttrOr(lineAttribute, "")); err == nil {
			d.line[s.Nodes[0]] = n
		}
		s.RemoveAttr(lineAttribute)
	})
	return d, nil
}

// found is the elements of a page that are marked with one name, or match one
// selector, in document order.
type found struct {
	name     string // the mark's, or the selector
	selector bool
	nodes    []*html.Node
}

// marked returns the regions that the attribute marks, in document order.
func (d *dom) marked(attribute string) []*found {
	var all []*found
	known := map[string]*found{}
	d.Find("*").Each(func(_ int, s *goquery.Selection) {
		name, ok := s.Attr(strings.ToLower(attribute))
		if !ok {
			return
		}
		r := known[name]
		if r == nil {
			r = &found{name: name}
			known[name], all = r, append(all, r)
		}
		r.nodes = append(r.nodes, s.Nodes[0])
	})
	return all
}

// declared is the beginning of a page by which its charset is decided. Unless a
// byte order mark does that, it is made ASCII: or the library guesses UTF-8,
// and browsers don't.
func declared(body []byte) []byte {
	for _, mark := range []string{"\xef\xbb\xbf", "\xfe\xff", "\xff\xfe"} {
		if bytes.HasPrefix(body, []byte(mark)) {
			return body
		}
	}
	head := bytes.Clone(body[:min(len(body), 1024)])
	for i, c := range head {
		if c >= 0x80 {
			head[i] = '?'
		}
	}
	return head
}

// numbered writes each start tag's line into it.
func numbered(text []byte) []byte {
	var out []byte
	line := 1
	z := html.NewTokenizer(bytes.NewReader(text))
	for {
		kind := z.Next()
		raw := z.Raw()
		if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			end := bytes.IndexAny(raw, " \t\r\n\f/>")
			out = append(out, raw[:end]...)
			out = fmt.Appendf(out, ` %s="%d"`, lineAttribute, line)
			out = append(out, raw[end:]...)
		} else {
			out = append(out, raw...)
		}
		line += bytes.Count(raw, []byte("\n"))
		if kind == html.ErrorToken {
			return out
		}
	}
}

// isURL says whether an argument is the address of a page.
func isURL(arg string) bool {
	lower := strings.ToLower(arg)
	return strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
}
