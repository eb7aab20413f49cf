// Package pool keeps the connections of one lane: many HTTP/2 connections of
// [h2] to one service, as one thing that takes requests.
//
// In come requests ([Pool.Send]), as many as [Pool.Room]; out go results, one
// for each, in batches and never two batches at once. A request that its
// connection did not take (refused, or above the last stream of a GOAWAY) goes to
// another one at once.
//
// The rules, each a pure function in rule.go:
//
//	unanswered   on a connection: the server's live limit, or ours; half of it
//	             for 10 s after a throttle or a write that stalls
//	warm         a connection takes one request until one was answered 2xx
//	quarantine   requests that may well be refused go to connections of their own
//	grow         when hardly a stream was free for 300 ms and more connections
//	             would carry more than now
//	shrink       when one fewer would have carried twice the most of the last
//	             minutes
//	dial         the resolved address with the fewest connections
//	back off     jittered, doubling up to 10 s, from the second failure in a row
//	wait         what finds no connection for a second goes back unsent
//
// When the context of [Pool.Run] ends, nothing new is taken, what waits goes back
// unsent, what is owed is awaited for a few seconds, and nothing is left running.
package pool
