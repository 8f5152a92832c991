package console

import (
	"bufio"
	"encoding/json"
	"net/http"

	"github.com/seed14307185/refract/events"
)

// retained streams the retained log, the oldest event first, as JSON Lines. It
// holds one event at a time, and ends when the asker goes.
func (c *Console) retained(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	w.Header().Set("Cache-Control", "no-store")
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	var writing error
	err := c.Store.Events(1, func(_ uint64, e *events.Event) bool {
		writing = lines.Encode(e)
		return writing == nil && r.Context().Err() == nil
	})
	if err != nil || writing != nil || out.Flush() != nil {
		panic(http.ErrAbortHandler) // the head is on its way: a log that is cut short must not look whole
	}
}
