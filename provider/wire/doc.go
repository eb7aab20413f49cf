// Package wire holds the few things that all push vendors' protocols share: JSON
// and XML written by hand into a buffer, Retry-After read, the place to dial and
// whom to trust there, and OAuth access tokens kept fresh in the background.
//
// In come strings of any content, base URLs and credentials; out go bytes that
// every conforming parser takes (what is no UTF-8 becomes U+FFFD), TLS settings
// and tokens. Only [Tokens.Run] runs anything; when its context ends, its one
// goroutine's request is cancelled and nothing is left behind. The package
// imports nothing of ours.
package wire
