// Package gateway holds the doors in: everything that appends to the journal.
//
// What comes in are HTTP requests (sends, bulk sends, endpoints); what goes out
// is one journal record each, and the answer only after the journal
// acknowledged it: 201 means durable. The doors read the store, they never
// write it.
//
// Nothing runs between requests, so there is nothing to stop: when the server
// that calls the handlers has drained, the gateway is done.
package gateway
