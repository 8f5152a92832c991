package events

// Limits on what may come in, for every road. The numbers are at or a little
// above what the vendors document for their own endpoints, so that an SDK that
// its vendor serves is served here too.
const (
	// MaxBody is the longest request body, in bytes, after decompression.
	// Segment documents 500 kB for a batch, Amplitude 1 MB. Where others take
	// more, their SDKs send in smaller parts after a 413.
	MaxBody = 1 << 20
	// MaxEvent is the longest single event, in bytes of JSON. Segment
	// documents 32 kB.
	MaxEvent = 64 << 10
	// MaxBatch is the largest number of events in one request. Segment
	// documents 2500.
	MaxBatch = 2500
	// MaxDepth is how deep arrays and objects may be nested in a body.
	MaxDepth = 16
	// MaxProperties is the largest number of members of one object.
	MaxProperties = 512
	// MaxName is the longest name, in bytes, of an event or a property.
	MaxName = 200
	// MaxID is the longest id, in bytes, of an event, a visitor or an account.
	MaxID = 200
	// MaxObserved is the longest value, in bytes, that an Observation reads
	// from a request.
	MaxObserved = 1024
)
