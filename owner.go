package carillon

import (
	"crypto/sha256"
	"encoding/hex"
)

// AddressHash names a push address of one app without showing it.
type AddressHash [16]byte

// HashAddress names the push address of an endpoint of an app.
func HashAddress(host string, p Platform, address string) (h AddressHash) {
	d := sha256.New()
	d.Write([]byte(host))
	d.Write([]byte{0, byte(p), 0})
	d.Write([]byte(address))
	copy(h[:], d.Sum(nil))
	return h
}

// String is the hash in hexadecimal: the journal key of its claims, which no
// user's key is like as it has no slash.
func (h AddressHash) String() string { return hex.EncodeToString(h[:]) }

// Owner is whose a push address is: the installation that registered it last.
type Owner struct {
	User         string // journal key, host/id
	Installation string
	// Version is that of the registration, Claimed the seq of the claim.
	Version, Claimed Seq
	Expires          int64 // milliseconds since 1970
}

// Claim decides what a claim does to the owner that is known (nil: none): the
// last claim in the order of the journal owns the address. It is stale when it
// was known before; evict tells that the old owner's endpoint must go.
func Claim(cur *Owner, claim Owner) (stale, evict bool) {
	switch {
	case cur == nil:
		return false, false
	case cur.Claimed >= claim.Claimed:
		return true, false
	}
	return false, cur.User != claim.User || cur.Installation != claim.Installation
}
