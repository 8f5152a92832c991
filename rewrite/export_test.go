package rewrite

// BreakAfter makes a Reader panic in its step after the next n.
func (r *Reader) BreakAfter(n int) { r.breaks = n + 1 }
