package events

import "fmt"

// Why a request with events was refused: one word each, for a counter's label
// and a vendor's error code.
const (
	RefusedPath        = "path"        // no such path
	RefusedMethod      = "method"      // not by that method
	RefusedAuth        = "auth"        // the source's key is missing or wrong
	RefusedBody        = "body"        // the body ended early or its compression is broken
	RefusedSize        = "size"        // over MaxBody
	RefusedDepth       = "depth"       // over MaxDepth
	RefusedLimit       = "limit"       // over MaxEvent, MaxBatch, MaxProperties or MaxName
	RefusedText        = "text"        // invalid UTF-8, or a NUL
	RefusedJSON        = "json"        // not one JSON value, a member twice, a number out of range
	RefusedType        = "type"        // a field is missing or of the wrong JSON type
	RefusedTime        = "time"        // a time can't be read
	RefusedID          = "id"          // an id is missing or over MaxID
	RefusedLoop        = "loop"        // a tee sent it on to here again and again
	RefusedUnavailable = "unavailable" // the events could not be stored: try again
)

// RefusedReasons returns every reason for which a request is refused, so that
// their counters can exist from the start.
func RefusedReasons() []string {
	return []string{
		RefusedPath, RefusedMethod, RefusedAuth, RefusedBody, RefusedSize, RefusedDepth,
		RefusedLimit, RefusedText, RefusedJSON, RefusedType, RefusedTime, RefusedID, RefusedLoop, RefusedUnavailable,
	}
}

// Refusal is the error of a request whose events aren't taken. Its text is for
// the sender: it names the field and never quotes a value at length.
type Refusal struct {
	Reason string // one of RefusedReasons
	Text   string
}

// Refuse returns a Refusal with a formatted text.
func Refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

func (r *Refusal) Error() string { return r.Text }
