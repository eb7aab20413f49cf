package carillon

import "strings"

// wnsService is the only domain that WNS channels live under, and the only one
// that an access token for WNS is sent to (W2: "notify.windows.com").
const wnsService = "notify.windows.com"

// SplitChannel takes a WNS channel URI apart into host, in lower case, and path
// with query, without re-encoding a byte: WNS answers 404 to a URI that was
// changed. Ok is false for what is not https, not WNS's own, or spelled in a way
// that another reader might take elsewhere: no user, no port but 443, no dot at
// the end, no address, no other alphabet, no fragment. It is the one rule for
// what may be registered and for what is sent to.
func SplitChannel(address string) (host, path string, ok bool) {
	rest, found := strings.CutPrefix(address, "https://")
	if !found || len(address) > maxAddress {
		return "", "", false
	}
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
			return "", "", false
		}
	}
	host, path = rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host, path = rest[:i], rest[i:]
		if path[0] == '?' {
			path = "/" + path
		}
	}
	if strings.HasPrefix(path, "//") { // a request line would take what follows for a host
		return "", "", false
	}
	host = strings.TrimSuffix(host, ":443")
	if !dnsName(host) {
		return "", "", false
	}
	host = strings.ToLower(host)
	return host, path, host == wnsService || strings.HasSuffix(host, "."+wnsService)
}

// dnsName tells whether s is a host name (RFC 1123 §2.1) in any case, without a
// dot at its end.
func dnsName(s string) bool {
	if len(s) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if n := len(label); n == 0 || n > 63 || label[0] == '-' || label[n-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if letter := c|0x20 >= 'a' && c|0x20 <= 'z'; !letter && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
