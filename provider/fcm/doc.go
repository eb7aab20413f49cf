// Package fcm hands pushes to Firebase Cloud Messaging, HTTP v1.
//
// In come batches of pushes of one app ([Sender.Send]); out go requests over a
// pool of HTTP/2 connections under an access token of the app's service account,
// and Google's answers as outcomes, in batches. Every push gets exactly one answer.
// There is no room before the first token, and no more than the project's quota
// allows, evenly over its minute; from little traffic to the quota it takes a
// minute. When the context of [Sender.Run]
// ends, nothing new is taken, owed answers are awaited for a few seconds, the
// rest are answered as unknown, and nothing is left running.
//
// What a device gets:
//
//	kind      priority                      shows             data
//	alert     HIGH                          title and body    carillon_id _pos _v _kind, and _raw _ttl _group _link if set
//	fallback  HIGH                          fallback toast    carillon_id _pos _v _kind
//	data      HIGH if asked for, or NORMAL  nothing           carillon_id _pos _v _kind _raw, and _ttl _group _link if set
//	tap       HIGH for visual content or    nothing           carillon_id _pos _v _kind: no content at all
//	          if asked for, or NORMAL
//	clear     NORMAL                        nothing           carillon_id _pos _v _kind, and _ids: what to take off
//	                                                          the screen, with commas between
//
// Alerts carry title and body once, in android.notification, which Android shows
// without the app; its tag is the notification id, which makes it replaceable
// and removable. Taps collapse, and so do clears. What exceeds 4096 bytes of keys
// and values goes out as a tap. An address with the shape of a Firebase
// installation id is sent to as fid, any other as token. Of platformOptions,
// fcm, data and link count (docs/platform-options.md); members of data that are
// no strings become JSON text.
package fcm
