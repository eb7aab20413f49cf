package carillon_test

import (
	"testing"

	"carillon"
)

// FuzzParseUser: a key that is taken is the key of the user that it became, in
// both forms in which keys are read.
func FuzzParseUser(f *testing.F) {
	f.Add("demo.localhost/dev.alice")
	f.Add("a/b/c")
	f.Add("/")
	f.Fuzz(func(t *testing.T, key string) {
		u, err := carillon.ParseUser(key)
		host, id, ok := carillon.SplitUserKey([]byte(key))
		if ok != (err == nil) {
			t.Fatalf("%q: %v, but split %v", key, err, ok)
		}
		if ok && (u.Key() != key || string(u.AppendKey(nil)) != key || u.Host != string(host) || u.ID != string(id)) {
			t.Fatalf("%q became %q", key, u.Key())
		}
		if ok && carillon.ValidateHost(u.Host) == nil && carillon.ValidateUserID(u.ID) == nil && carillon.HashUserKey([]byte(key)) != u.Hash() {
			t.Fatalf("%q: two hashes", key)
		}
	})
}
