package rewrite

import (
	"fmt"
	"strings"
	"testing"
)

// What an app makes up does not stay in memory, and is read all the same.
func TestContentTypesAreBounded(t *testing.T) {
	p, err := Compile(Plan{Surfaces: []Surface{{Name: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxCharsets {
		p.NewReader(strings.NewReader(""), fmt.Sprintf("text/html; v=%d; charset=utf-8", i)).Close()
	}
	n := 0
	p.charsets.Range(func(any, any) bool { n++; return true })
	if n != maxCharsets {
		t.Errorf("%d are kept, not %d", n, maxCharsets)
	}
	for _, contentType := range []string{"text/html; v=1; charset=utf-8", "text/html; v=new; charset=utf-8"} {
		if e := p.headerEncoding(contentType); e != namedEncoding("utf-8", true) {
			t.Errorf("%s: %+v", contentType, e)
		}
	}
}
