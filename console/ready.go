package console

import (
	"fmt"
	"net/http"
	"strings"
)

// ready says why this node should get no traffic, or nil.
func (c *Console) ready() error {
	for _, check := range c.Checks {
		if _, err := check.Look(); err != nil {
			return err
		}
	}
	return nil
}

// readyz answers 200, or 503 and why. With ?verbose there is a line for every
// check.
func (c *Console) readyz(w http.ResponseWriter, r *http.Request) {
	if !r.URL.Query().Has("verbose") {
		if err := c.ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ok")
		return
	}
	status, lines := http.StatusOK, make([]string, 0, len(c.Checks))
	for _, check := range c.Checks {
		detail, err := check.Look()
		switch {
		case err != nil:
			status = http.StatusServiceUnavailable
			lines = append(lines, fmt.Sprintf("%s: failed: %v", check.Name, err))
		case detail != "":
			lines = append(lines, fmt.Sprintf("%s: ok: %s", check.Name, detail))
		default:
			lines = append(lines, check.Name+": ok")
		}
	}
	text(w, status, strings.Join(lines, "\n"))
}
