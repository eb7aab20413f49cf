// Package sandbox is the vendors' side of a push: APNs, FCM HTTP v1 and WNS as
// servers on loopback, with their token endpoints, and behind them the devices.
//
// In come the vendors' own protocols over TLS: HTTP/2 for APNs; HTTP/2 or
// HTTP/1.1, by ALPN, for FCM and WNS. Out go the vendors' own answers, and for
// whoever looks: each device's tray (what it would show now), its inbox (all it
// got) and counts. [Strict] judges every request as the vendor would; [Fast]
// only counts, as cheaply as it can, for benches.
//
// A [Fault] makes requests go wrong ([Server.Script]), an [Act] happens to open
// connections ([Server.Act]), [Conduct] is how a vendor always is. A device can be
// offline or gone ([Server.SetOffline], [Server.SetGone]): the vendor then keeps
// for it what the real one would. docs/testing.md has the vocabulary.
//
// The package imports nothing of the module and shares no code with the clients:
// an oracle that shares the bug proves nothing.
//
// When [Server.Run]'s context ends, listeners close, each HTTP/2 connection gets
// a GOAWAY, connections close, and Run returns after its last goroutine. Nothing
// but the identity and the credentials in [Config.Dir] outlives a Server.
package sandbox
