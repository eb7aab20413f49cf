package carillon

import (
	"bytes"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Slots is the number of hash ranges over which users are dealt to shards.
const Slots = 1024

const (
	maxHost   = 253 // RFC 1035 §2.3.4, in its textual form
	maxUserID = 256
)

// User names a person of an app: the app's host name and the user key
// ("dev.alice", "{tid}.{oid}"). Its journal key is "host/id".
type User struct {
	Host string
	ID   string
}

// AppendKey appends the journal key "host/id" to dst.
func (u User) AppendKey(dst []byte) []byte {
	dst = append(dst, u.Host...)
	dst = append(dst, '/')
	return append(dst, u.ID...)
}

// Key is the journal key "host/id".
func (u User) Key() string { return u.Host + "/" + u.ID }

// String is the journal key.
func (u User) String() string { return u.Key() }

// Hash spreads users over slots and caches. It is xxHash64 of the journal key
// and has nothing in common with the partitioner's murmur2.
func (u User) Hash() uint64 { return xxhash.Sum64String(u.Key()) }

// HashUserKey is [User.Hash] of a key that is at hand as bytes.
func HashUserKey(key []byte) uint64 { return xxhash.Sum64(key) }

// Slot is the hash range, 0 … [Slots]-1, of a user's hash.
func Slot(hash uint64) int { return int(hash >> 54) }

// SplitUserKey takes a journal key apart. The results alias key.
func SplitUserKey(key []byte) (host, id []byte, ok bool) {
	host, id, ok = bytes.Cut(key, []byte{'/'})
	return host, id, ok && len(host) > 0 && len(id) > 0
}

// ParseUser takes a journal key apart.
func ParseUser(key string) (User, error) {
	host, id, ok := strings.Cut(key, "/")
	if !ok || host == "" || id == "" {
		return User{}, Errorf(CodeInvalidRequest, "user", "%q is not of the form host/user", key)
	}
	return User{Host: host, ID: id}, nil
}

// ValidateUserID tells whether id may name a user: 1 to 256 bytes of printable
// ASCII without space, slash, quote or backslash.
func ValidateUserID(id string) error {
	if id == "" || len(id) > maxUserID {
		return Errorf(CodeInvalidRequest, "userId", "a user id has 1 to %d bytes, this one has %d", maxUserID, len(id))
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '"' || c == '\\' {
			return Errorf(CodeInvalidRequest, "userId", "byte %d (%q) may not stand in a user id", i, c)
		}
	}
	return nil
}

// ValidateHost tells whether host is a lower-case DNS name as apps have them.
func ValidateHost(host string) error {
	if host == "" || len(host) > maxHost {
		return Errorf(CodeInvalidRequest, "targetHostName", "a host name has 1 to %d bytes, this one has %d", maxHost, len(host))
	}
	for i := range len(host) {
		c := host[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			continue
		}
		return Errorf(CodeInvalidRequest, "targetHostName", "%q is not a lower-case DNS name: byte %d (%q)", host, i, c)
	}
	return nil
}
