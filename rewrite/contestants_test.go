package rewrite_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"golang.org/x/net/html"

	"github.com/seed14307185/refract/rewrite"
)

// A contestant is a way of changing the three regions of a page. What prepare
// returns does it once and lets go of the outcome.
type contestant struct {
	name    string
	prepare func(t testing.TB, page []byte) (pass func())
}

// contestants are the columns of BenchmarkTable, in its order.
var contestants = []contestant{
	{"refract", func(t testing.TB, page []byte) func() { return refractWhole(t, benchPlan(regionNames...), page) }},
	{"refract-chunks", refractChunks},
	{"tokenizer", tokenizerPass},
	{"goquery", goqueryPass},
	{"floor", floorPass},
}

const chunkSize = 32 << 10

// refractWhole gives the engine as much of the page as it asks for.
func refractWhole(t testing.TB, plan rewrite.Plan, page []byte) func() {
	program, src := compile(t, plan), &source{chunk: len(page)}
	return func() {
		src.rest = page
		r := program.NewReader(src, inUTF8)
		defer r.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
	}
}

// refractChunks gives the engine the page in chunks, and takes it so.
func refractChunks(t testing.TB, page []byte) func() {
	program, src, buf := compile(t, benchPlan(regionNames...)), &source{chunk: chunkSize}, make([]byte, chunkSize)
	return func() {
		src.rest = page
		r := program.NewReader(src, inUTF8)
		defer r.Close()
		for {
			if _, err := r.Read(buf); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func compile(t testing.TB, plan rewrite.Plan) *rewrite.Program {
	program, err := rewrite.Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// tokenizerPass is what one writes with x/net's tokenizer: its raw tokens are
// passed through, a region is over when its element's own tags balance, and
// after the last region the rest is copied.
func tokenizerPass(t testing.TB, page []byte) func() {
	src, out := &source{chunk: chunkSize}, bufio.NewWriterSize(io.Discard, chunkSize)
	return func() {
		src.rest = page
		out.Reset(io.Discard)
		if err := tokenize(out, src); err != nil {
			t.Fatal(err)
		}
	}
}

func tokenize(out *bufio.Writer, src io.Reader) error {
	z := html.NewTokenizer(src)
	attribute := []byte(rewrite.DefaultAttribute)
	for left := len(regionNames); left > 0; {
		kind := z.Next()
		if kind == html.ErrorToken {
			if z.Err() == io.EOF {
				break
			}
			return z.Err()
		}
		raw := z.Raw()
		out.Write(raw)
		// Most tags are not looked into: only those that can have the mark.
		if (kind == html.StartTagToken || kind == html.SelfClosingTagToken) && bytes.Contains(raw, attribute) && marked(z) {
			out.WriteString(benchContent)
			end, err := skipRegion(z, raw[1:1+tagNameLen(raw[1:])])
			if err != nil {
				return err
			}
			out.Write(end)
			left--
		}
	}
	out.Write(z.Buffered())
	if _, err := io.Copy(out, src); err != nil {
		return err
	}
	return out.Flush()
}

// marked says whether the tag that the tokenizer is at marks a region.
func marked(z *html.Tokenizer) bool {
	z.TagName()
	for {
		key, value, more := z.TagAttr()
		if string(key) == rewrite.DefaultAttribute {
			return string(value) == regionNames[0] || string(value) == regionNames[1] || string(value) == regionNames[2]
		}
		if !more {
			return false
		}
	}
}

// skipRegion goes to the end tag of the element of that name and returns it.
func skipRegion(z *html.Tokenizer, name []byte) ([]byte, error) {
	name = bytes.Clone(name)
	named := func(s []byte) bool { return bytes.EqualFold(s[:tagNameLen(s)], name) }
	for depth := 1; ; {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return nil, z.Err()
		case html.StartTagToken, html.SelfClosingTagToken:
			if named(z.Raw()[1:]) {
				depth++
			}
		case html.EndTagToken:
			if named(z.Raw()[2:]) {
				depth--
			}
			if depth == 0 {
				return z.Raw(), nil
			}
		}
	}
}

func tagNameLen(s []byte) int { return bytes.IndexAny(s, " \t\r\n\f/>") }

// goqueryPass builds the page's tree, edits it and renders it.
func goqueryPass(t testing.TB, page []byte) func() {
	src := &source{chunk: chunkSize}
	return func() {
		src.rest = page
		doc, err := goquery.NewDocumentFromReader(src)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regionNames {
			doc.Find(fmt.Sprintf("[%s=%q]", rewrite.DefaultAttribute, name)).SetHtml(benchContent)
		}
		if err := html.Render(io.Discard, doc.Nodes[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// floorPass copies the page chunk by chunk and stops at every "<", and does
// nothing else: what it costs to look at each tag at all.
func floorPass(t testing.TB, page []byte) func() {
	buf, want := make([]byte, chunkSize), bytes.Count(page, []byte("<"))
	return func() {
		met := 0
		for rest := page; len(rest) > 0; {
			n := copy(buf, rest)
			rest = rest[n:]
			for at := buf[:n]; ; met++ {
				i := bytes.IndexByte(at, '<')
				if i < 0 {
					break
				}
				at = at[i+1:]
			}
		}
		if met != want {
			t.Fatal("the floor has a hole")
		}
	}
}
