// Package apns hands pushes to the Apple Push Notification service.
//
// In come batches of pushes of one app ([Sender.Send]); out go requests over a
// pool of HTTP/2 connections, signed with the app's .p8 key, and Apple's answers
// as outcomes, in batches. Every push gets exactly one answer. Each connection has
// one key and team, a provider token of its own for at least 20 minutes, and
// carries one push until that was accepted; one whose token APNs calls spoilt is
// closed. Device tokens that never took a push, of which the process remembers
// about two million, have connections of their own while such are being refused.
// When the context of [Sender.Run] ends, nothing new is taken, owed answers are awaited for a few
// seconds, the rest are answered as unknown, and nothing is left running.
//
// What a device gets:
//
//	kind      push type   priority  shows             data (member "carillon")
//	alert     alert       10        title and body    id pos v k, and raw ttl group if set
//	fallback  alert       10        fallback toast    id pos v k
//	data      background  5         nothing           id pos v k raw, and ttl group if set
//	tap       background  5         nothing           id pos v k: no content at all
//	clear     background  5         nothing           id pos v k, and ids: what to take off the screen
//
// Alerts carry apns-collapse-id = notification id, which makes them replaceable
// and removable. What exceeds 4096 bytes goes out as a tap. An endpoint whose
// appId is a topic of another push type (voip, liveactivity, …) gets that type and
// its body, and only from notifications that ask for it. Of platformOptions, apns,
// data and link count (docs/platform-options.md).
package apns
