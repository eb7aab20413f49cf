package gateway

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"carillon"
	"carillon/internal/httpapi"
	"carillon/journal"
)

// The spaces of derived ids and request ids: keys of different origin never
// meet. They are pinned, as ids outlive the process.
const (
	spaceApp     = httpapi.SpaceApp
	spaceKey     = 'i' // Idempotency-Key
	spaceRequest = 'r' // Idempotency-Key as the name of a request
)

// keyed is what follows from a sender's keys: appNotificationId names the
// notification, the idempotency key names the request (and the notification
// when there is no other name).
type keyed struct {
	// hasKey tells that there is an idempotency key, so that repeats can be
	// recognised; hasRID that the record names its request.
	hasKey, hasRID bool
	rid            carillon.RequestID
	hash           [16]byte
}

// keys derives id, request id and body hash of a single send.
func (g *Gateway) keys(s *send, header []byte) error {
	s.key = s.user.AppendKey(s.key[:0])
	if len(header) > carillon.MaxKey {
		return carillon.Errorf(carillon.CodeInvalidRequest, keyHeader, "a key has 1 to %d bytes, this one has %d", carillon.MaxKey, len(header))
	}
	s.keyed, s.scratch = g.derive(&s.decoder, s.user, text(header), s.scratch)
	return nil
}

// derive is the rule of keys for single sends and bulk lines alike. It sets the
// notification's id; the scratch buffer is given back as it grew.
func (g *Gateway) derive(d *decoder, u carillon.User, key string, scratch []byte) (keyed, []byte) {
	app := d.n.AppNotificationID
	if app == "" && key == "" {
		return keyed{}, scratch
	}
	k := keyed{hasRID: true, hasKey: key != ""}
	k.hash, scratch = bodyHash(d, scratch)
	if key != "" {
		k.rid = carillon.RequestID(g.deps.IDs.Derived(u, spaceRequest, key))
	} else {
		binary.LittleEndian.PutUint64(k.rid[:8], rand.Uint64()) //nolint:gosec // it names, it protects nothing
		binary.LittleEndian.PutUint64(k.rid[8:], rand.Uint64()) //nolint:gosec // likewise
	}
	if app != "" {
		d.n.ID = g.deps.IDs.Derived(u, spaceApp, app)
	} else {
		d.n.ID = g.deps.IDs.Derived(u, spaceKey, key)
	}
	return k, scratch
}

// bodyHash tells a repeat from another body. It is taken of what the body says
// and not of its bytes, so that a sender may write his JSON anew; the times that
// the door fills in do not count.
func bodyHash(d *decoder, scratch []byte) (hash [16]byte, buf []byte) {
	n := d.n
	n.ID, n.Accepted = carillon.ID{}, 0
	if !d.expiry {
		n.Expires = 0
	}
	buf = journal.AppendNotification(scratch[:0], &n)
	sum := sha256.Sum256(buf)
	return [16]byte(sum[:16]), buf
}
