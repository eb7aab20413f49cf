// Package httpapi is the plumbing that the doors share: the life of the
// fasthttp server and of the ops listener, routes, limits, the Graph error
// form, the JSON of a notification, position tokens and the wait for a
// partition's applied position.
//
// What comes in are connections and the [Handler]s that rooms registered before
// [Server.Run]; what goes out is one answer for each request, always with a
// request-id and, when it is an error, always in Graph's form, whether a
// handler, the router or fasthttp itself found it. A handler runs on the
// worker goroutine of its connection; nothing is started for a request.
//
// When stopped, a server accepts no more, answers what it already read, waits
// for that at most [Config.DrainTimeout], and then closes what is left.
package httpapi
