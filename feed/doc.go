// Package feed holds the doors out: everything that reads what the store
// remembers. That is one notification, a user's history in pages, and the
// deliveries of one: what became of it at each endpoint.
//
// What comes in are GET requests, and taps from the dispatcher that wake the live
// feeds; what goes out is JSON that was read from the store and nothing else. The
// package starts nothing: [Feed.Register] adds routes to the server that runs
// them, and live feeds run on its connections and end when it stops.
package feed
