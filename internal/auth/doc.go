// Package auth tells who is calling: it verifies bearer tokens and turns them
// into a [Principal], issues tokens as the development issuer, keeps the master
// key from which other keys derive, and seals subscription ids.
//
// What comes in are token bytes and sealed strings; what goes out are values
// or a *carillon.Error that may be shown to the caller. [Verifier.Run] owns the
// cache of verified tokens; when it has stopped, tokens are still verified, only
// not remembered.
package auth
