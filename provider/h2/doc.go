// Package h2 is a sending HTTP/2 engine: many small requests to one server at
// the least cost a request. A [Client] is one connection at a time; a [Pool] is
// the many connections of one lane.
//
// In come batches of requests ([Client.Send]); out go batches of results
// ([Config.OnResults]), as many at a time as one read from the connection
// brought. Exactly one [Result] comes back for every request handed over,
// whatever happens to the connection, and its [Fault] says whether the server
// can have seen the request.
//
// When the context of [Client.Run] ends, the client takes nothing new, waits
// for the answers that are owed up to [Config.DrainTimeout], answers the rest
// with a Fault, closes its connections and returns; every goroutine it started
// has ended by then.
//
// A connection is one writer goroutine, which coalesces the frames of many
// streams into one write, one reader goroutine, and a keeper for deadlines and
// pings. Streams live in a flat table; nothing is allocated and no goroutine or
// channel is made per request. Frames are read and written here (RFC 9113);
// header compression is x/net's hpack (RFC 7541).
//
// # The pool
//
// [Pool.Send] takes as many requests as [Pool.Room] says and spreads them over
// connections. A request that its connection did not take (refused, or above the
// last stream of a GOAWAY) goes to another one at once. Its rules, each a pure
// function in pool_rule.go:
//
//	unanswered   on a connection: the server's live limit, or ours; half of it
//	             for 10 s after a throttle or a write that stalls
//	warm         a connection takes one request until one was answered 2xx
//	quarantine   requests that were never answered well go to connections of their
//	             own while more than a few of them are refused
//	grow         when hardly a stream was free for 300 ms and more connections
//	             would carry more than now
//	shrink       when one fewer would have carried twice the most of the last
//	             minutes
//	dial         the resolved address with the fewest connections
//	back off     jittered, doubling up to 10 s, from the second failure in a row
//	wait         what finds no connection for a second goes back unsent
package h2
