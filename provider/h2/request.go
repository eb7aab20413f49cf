package h2

import "time"

// IndexMode says how header compression may keep a field (RFC 7541 §6.2).
type IndexMode uint8

const (
	// Indexed puts the field in the dynamic table: a repeat costs one or two
	// bytes. For values that many requests share (topic, priority, authorization).
	Indexed IndexMode = iota
	// NoIndex writes the value each time and keeps the table for others. For
	// values that differ with each request.
	NoIndex
	// NeverIndex is NoIndex with the mark that no intermediary may index the
	// value either (RFC 7541 §7.1.3). For secrets short enough to be guessed.
	NeverIndex
)

// Field is one header field of a request or a response. Name is in lower case.
// The strings of an Indexed request field are kept as long as the connection.
type Field struct {
	Name, Value string
	Mode        IndexMode
}

// Request is one request, to be sent on a stream of its own.
type Request struct {
	Ref      any       // the caller's own reference, comes back in the Result
	Path     string    // :path; never indexed
	Fields   []Field   // after the connection's static fields; no pseudo-header fields; not kept after Send
	Body     []byte    // sent as it is; must stay untouched until its Result; empty: none
	Deadline time.Time // by Config.Now; zero: Config.RequestTimeout from the hand-over
}

// Fault says what went wrong with a request and, by that, whether the server
// can have acted on it.
type Fault uint8

const (
	// FaultNone means that the server answered; Status, Fields and Body hold the answer.
	FaultNone Fault = iota
	// FaultUnsent means that the server did not and will not act on it: never
	// written, or refused (REFUSED_STREAM, or above the last stream of a GOAWAY; RFC 9113
	// §8.7). Safe to replay at once.
	FaultUnsent
	// FaultLost means written, and no answer will come: the connection died or
	// the server reset the stream. The server may have acted on it.
	FaultLost
	// FaultTimeout means that no whole answer came before the deadline. The
	// server may have acted on it.
	FaultTimeout
	// FaultProtocol means that the server's answer was malformed. The server may
	// have acted on it.
	FaultProtocol
	// FaultInvalid means never written, because the request cannot be said in
	// HTTP/2 or exceeds what the server takes (Reason tells). Replaying is
	// pointless.
	FaultInvalid
)

// String returns the metric label of f.
func (f Fault) String() string {
	switch f {
	case FaultNone:
		return "none"
	case FaultUnsent:
		return "unsent"
	case FaultLost:
		return "lost"
	case FaultTimeout:
		return "timeout"
	case FaultProtocol:
		return "protocol"
	case FaultInvalid:
		return "invalid"
	default:
		return "unknown"
	}
}

// Result is what became of one request.
type Result struct {
	Ref    any     // of the Request
	Status int     // HTTP status 200..599; 0 when Fault is not FaultNone
	Fields []Field // response fields without pseudo-header fields; valid only during the callback (their strings stay valid)
	Body   []byte  // the first Config.MaxBody bytes; valid only during the callback
	Fault  Fault
	Reason string // beside a Fault: GOAWAY code and debug data, RST_STREAM code, dial error
}
