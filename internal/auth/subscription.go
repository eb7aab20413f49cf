package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon"
)

// Subscription is what a subscription id (X-UNS-ID) says: an endpoint of a user,
// as it joined, until it expires.
type Subscription struct {
	User         carillon.User
	Installation string
	Incarnation  carillon.Seq
	// Expires is in milliseconds since 1970; whole seconds are kept.
	Expires int64
}

const (
	subscriptionVersion = 1
	keyIDBytes          = 4
	nonceBytes          = 12
	tagBytes            = 16
	headBytes           = 1 + keyIDBytes + nonceBytes
	maxSealed           = 1400 // longest host, user and installation together
)

// Subscriptions seals and opens subscription ids with AES-256-GCM. It seals
// with one master key and opens with the older ones too, until they are
// dropped. Safe for concurrent use.
type Subscriptions struct {
	current sealKey
	all     map[[keyIDBytes]byte]sealKey
}

type sealKey struct {
	id    [keyIDBytes]byte
	aead  cipher.AEAD
	nonce [32]byte
}

// NewSubscriptions makes the sealer of an installation; old master keys are
// still accepted on opening.
func NewSubscriptions(current *Master, old ...*Master) *Subscriptions {
	s := &Subscriptions{current: newSealKey(current), all: make(map[[keyIDBytes]byte]sealKey)}
	for _, m := range old {
		k := newSealKey(m)
		s.all[k.id] = k
	}
	s.all[s.current.id] = s.current
	return s
}

func newSealKey(m *Master) sealKey {
	k := sealKey{nonce: m.Derive("subscription/nonce")}
	id := m.Derive("subscription/id")
	copy(k.id[:], id[:])
	secret := m.Derive("subscription/seal")
	block, err := aes.NewCipher(secret[:])
	if err == nil {
		k.aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic("auth: " + err.Error()) // only for other key sizes than ours
	}
	return k
}

// Seal makes the id: base64url of version, key id, nonce, and the sealed
// content. The nonce is a keyed hash of the content, so the same subscription
// has the same id and no two contents share a nonce.
func (s *Subscriptions) Seal(sub Subscription) string {
	k := &s.current
	plain := appendSubscription(make([]byte, 0, 160), sub)
	mac := hmac.New(sha256.New, k.nonce[:])
	mac.Write(plain)
	out := make([]byte, 0, headBytes+len(plain)+tagBytes)
	out = append(out, subscriptionVersion)
	out = append(out, k.id[:]...)
	out = append(out, mac.Sum(nil)[:nonceBytes]...)
	out = k.aead.Seal(out, out[1+keyIDBytes:headBytes], plain, out[:1+keyIDBytes])
	return base64.RawURLEncoding.EncodeToString(out)
}

// Open reads an id at now (milliseconds since 1970). One that is malformed,
// foreign or expired is a *carillon.Error accessDenied that says which; it never
// tells whether a user exists.
func (s *Subscriptions) Open(id string, now int64) (Subscription, error) {
	sub, err := s.open(id)
	if err != nil {
		e := carillon.Errorf(carillon.CodeAccessDenied, "X-UNS-ID", "malformed: this is not a subscription id of this service")
		e.Cause = err
		return Subscription{}, e
	}
	if sub.Expires <= now {
		return Subscription{}, carillon.Errorf(carillon.CodeAccessDenied, "X-UNS-ID", "expired at %s: the device must register its endpoint again",
			time.UnixMilli(sub.Expires).UTC().Format(time.RFC3339))
	}
	return sub, nil
}

func (s *Subscriptions) open(id string) (Subscription, error) {
	if len(id) > maxSealed {
		return Subscription{}, errors.New("too long")
	}
	if strings.ContainsAny(id, "\r\n") { // base64 passes over them: one id would have many forms
		return Subscription{}, errors.New("broken into lines")
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil {
		return Subscription{}, err
	}
	if len(b) < headBytes+tagBytes || b[0] != subscriptionVersion {
		return Subscription{}, errors.New("too short, or of another version")
	}
	k, ok := s.all[[keyIDBytes]byte(b[1:1+keyIDBytes])]
	if !ok {
		return Subscription{}, fmt.Errorf("sealed with an unknown key %x", b[1:1+keyIDBytes])
	}
	plain, err := k.aead.Open(nil, b[1+keyIDBytes:headBytes], b[headBytes:], b[:1+keyIDBytes])
	if err != nil {
		return Subscription{}, err
	}
	return readSubscription(plain)
}

// The content: host, user, installation as compact strings, then incarnation
// and expiry (seconds) as varints.
func appendSubscription(dst []byte, sub Subscription) []byte {
	dst = appendCompact(dst, sub.User.Host)
	dst = appendCompact(dst, sub.User.ID)
	dst = appendCompact(dst, sub.Installation)
	dst = binary.AppendUvarint(dst, uint64(sub.Incarnation))
	return binary.AppendUvarint(dst, uint64(max(sub.Expires, 0)/1000))
}

func readSubscription(b []byte) (sub Subscription, err error) {
	var inc, exp uint64
	for _, into := range []*string{&sub.User.Host, &sub.User.ID, &sub.Installation} {
		if *into, b, err = readCompact(b); err != nil {
			return Subscription{}, err
		}
	}
	for _, into := range []*uint64{&inc, &exp} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return Subscription{}, errShort
		}
		*into, b = v, b[n:]
	}
	if len(b) != 0 || exp > 1<<40 {
		return Subscription{}, errors.New("does not end where it should")
	}
	sub.Incarnation, sub.Expires = carillon.Seq(inc), int64(exp)*1000
	return sub, nil
}

var errShort = errors.New("ends too early")

// A compact string is a varint and bytes: the length times two, or, for what is
// written as one or two canonical UUIDs joined by a dot ("{tid}.{oid}"), 1 or 3
// and their 16 or 32 bytes. It keeps the id of a Microsoft user below 200
// characters.
func appendCompact(dst []byte, s string) []byte {
	if a, ok := canonicalUUID(s); ok {
		return append(append(dst, 1), a[:]...)
	}
	if len(s) == 73 && s[36] == '.' {
		a, okA := canonicalUUID(s[:36])
		b, okB := canonicalUUID(s[37:])
		if okA && okB {
			return append(append(append(dst, 3), a[:]...), b[:]...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(s))<<1)
	return append(dst, s...)
}

func canonicalUUID(s string) (uuid.UUID, bool) {
	if len(s) != 36 {
		return uuid.UUID{}, false
	}
	u, err := uuid.Parse(s)
	return u, err == nil && u.String() == s
}

func readCompact(b []byte) (string, []byte, error) {
	n, w := binary.Uvarint(b)
	if w <= 0 {
		return "", nil, errShort
	}
	b = b[w:]
	switch {
	case n == 1 && len(b) >= 16:
		return uuid.UUID(b[:16]).String(), b[16:], nil
	case n == 3 && len(b) >= 32:
		return uuid.UUID(b[:16]).String() + "." + uuid.UUID(b[16:32]).String(), b[32:], nil
	case n&1 == 0 && n>>1 <= uint64(len(b)):
		return string(b[:n>>1]), b[n>>1:], nil
	}
	return "", nil, errShort
}
