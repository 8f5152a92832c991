package console

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed14307185/refract/rules"
)

// reload loads the site directory and answers when it is live. With If-Match
// (RFC 9110, 13.1.1) only if the revision that it names is.
func (c *Console) reload(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", strconv.Quote(c.Loaded().Revision))
	expected, err := ifMatch(r.Header["If-Match"])
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	done, err := c.Reload(r.Context(), expected)
	w.Header().Set("ETag", strconv.Quote(c.Loaded().Revision))
	var problems rules.Problems
	var other *OtherRevision
	switch {
	case errors.As(err, &other):
		fail(w, http.StatusPreconditionFailed, err)
	case errors.As(err, &problems):
		fail(w, http.StatusUnprocessableEntity, err)
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err)
	default:
		reply(w, done)
	}
}

// ifMatch returns what the lines of an If-Match header say of a revision; nil:
// any will do. A weak tag matches nothing.
func ifMatch(lines []string) (func(revision string) bool, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	list := strings.TrimSpace(strings.Join(lines, ","))
	if list == "*" {
		return nil, nil
	}
	revisions := map[string]bool{}
	for tag := range strings.SplitSeq(list, ",") { // a revision has no comma
		tag = strings.TrimSpace(tag)
		opaque, weak := strings.CutPrefix(tag, "W/")
		if len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' {
			return nil, fmt.Errorf("If-Match takes revisions in quotes, or *, found %s", tag)
		}
		if !weak {
			revisions[opaque[1:len(opaque)-1]] = true
		}
	}
	return func(revision string) bool { return revisions[revision] }, nil
}
