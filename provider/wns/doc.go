// Package wns hands pushes to the Windows Push Notification Services.
//
// In come batches of pushes of one app ([Sender.Send]); out go requests to the
// channels' hosts under one access token of the app, and WNS's answers as
// outcomes, in batches. Every push gets exactly one answer. Each host has a pool
// of its own: up to 8 HTTP/2 connections where the host agrees to that, else
// keep-alive connections of HTTP/1.1, which is what WNS documents. The number of
// hosts, of connections and of pushes in flight is bounded. When the context of
// [Sender.Run] ends, nothing new is taken, owed answers are awaited for a few
// seconds, the rest are answered as unknown or unsent, and nothing is left
// running.
//
// A channel URI that does not point to notify.windows.com by https is refused
// here too, as the app's access token would go wherever it points. Path and
// query are sent as they stand.
//
// What a device gets:
//
//	kind      type   X-WNS-PRIORITY          shows           data
//	alert     toast  1                       title and body  launch="carillon?id=…&pos=…&v=…&k=alert", and raw group link
//	                                                         launch data if set
//	fallback  toast  1                       fallback toast  launch="carillon?id=…&pos=…&v=…&k=fallback"
//	data      raw    1 if asked for, or 3    nothing         {"carillon":{id pos v k raw, and ttl group link if set}}
//	tap       raw    1 for visual content    nothing         {"carillon":{id pos v k}}: no content at all
//	                 or if asked for, or 3
//	clear     raw    3                       nothing         {"carillon":{id pos v k, and ids: what to take off the screen}}
//
// A toast's tag is the notification id and its group the notification's, as
// attributes of the XML. X-WNS-TTL is the rest of the notification's life, on
// toasts not more than displayTimeToLive. What exceeds 5000 bytes goes out as a
// tap. Of platformOptions, wns, data and link count (docs/platform-options.md).
package wns
