// Package h2 is a sending HTTP/2 engine: many small requests to one server at
// the least cost a request.
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
package h2
