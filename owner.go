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
	// Past are those who had it before, the last first.
	Past []PastOwner
}

// PastOwner is a registration that lost its address.
type PastOwner struct {
	User, Installation string
	Version            Seq
}

// pastOwners is how many of them are remembered: a claim that comes again does so
// soon, after a crash.
const pastOwners = 4

// Claim decides what a claim does to the owner that is known (nil: none): the
// last claim in the order of the journal owns the address. It is stale when it
// was known before; evict tells that the old owner's endpoint must go.
func Claim(cur *Owner, claim Owner) (next Owner, stale, evict bool) {
	if cur == nil {
		return claim, false, false
	}
	if cur.User == "" && cur.Claimed < claim.Claimed { // its user was erased
		claim.Expires = max(claim.Expires, cur.Expires)
		return claim, false, false
	}
	if cur.Claimed >= claim.Claimed {
		return *cur, true, false
	}
	claim.Expires = max(claim.Expires, cur.Expires)
	if cur.User == claim.User && cur.Installation == claim.Installation {
		claim.Past = cur.Past
		return claim, cur.Version >= claim.Version, false
	}
	for _, p := range cur.Past {
		if p.User == claim.User && p.Installation == claim.Installation && p.Version >= claim.Version {
			return *cur, true, false
		}
	}
	claim.Past = append([]PastOwner{{User: cur.User, Installation: cur.Installation, Version: cur.Version}}, cur.Past[:min(len(cur.Past), pastOwners-1)]...)
	return claim, false, true
}
