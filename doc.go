// Package carillon is the glossary of the gateway: what an app, a user, an
// endpoint, a notification, a delivery and an outcome are, and the rules that
// need no I/O (validation, planning, verdicts, identifiers, the clock).
//
// What comes in are values and the present time; what goes out are values and
// decisions. The package starts nothing and keeps nothing running, so there is
// nothing to stop. It imports no other package of this module; every other
// room may import it.
//
// The words, in the order in which a notification meets them:
//
//   - An [App] is a sender's application, known by its verified host name.
//   - A [User] is a subject of an app: (host, user key).
//   - An [Endpoint] is one installation of the app for one user on one device.
//   - A [Notification] is what a sender wants one user to see or to get.
//   - The journal orders records; [Seq] is a record's place in it.
//   - [Plan] turns a notification and a user's endpoints into deliveries: one
//     for each endpoint that shall ring, of one [Kind].
//   - A [Push] is one attempt to hand a delivery to a vendor; its result is an
//     [Outcome] of a closed set of classes.
//   - An [Item] is a notification as the store remembers it, with its plan and
//     its outcomes; it is also its own first feed entry.
package carillon
