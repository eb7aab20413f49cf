package sandbox

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// NewAddress makes a well-formed device address, the same one for the same seed:
// for APNs 64 hex characters, for FCM a registration token (the part before the
// colon has the form of a FID), for WNS a channel URI whose token, as real ones,
// holds %2f and %2b and must be sent back as it is. Another vendor: "".
func NewAddress(v Vendor, seed string) string {
	sum := sha512.Sum512([]byte(string(v) + "\x00" + seed))
	b := base64.RawURLEncoding.EncodeToString(sum[:])
	switch v {
	case APNs:
		return hex.EncodeToString(sum[:32])
	case FCM:
		more := sha512.Sum512(sum[:])
		fid := string("cdef"[sum[0]&3]) + b[:21]
		return fid + ":APA91b" + b[21:] + base64.RawURLEncoding.EncodeToString(more[:])
	case WNS:
		std := base64.StdEncoding.EncodeToString(sum[:40])
		return wnsPrefix + "BQYAAAA%2b" + wnsEscape(std[:24]) + "%2f" + wnsEscape(std[24:])
	default:
		return ""
	}
}

const wnsPrefix = "https://wns2-sbx.notify.windows.com/?token="

// wnsEscape escapes base64 as the channel URIs do it: lower-case hex.
func wnsEscape(s string) string {
	return strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(s)
}

// deviceKey is how an address is looked up. A WNS channel is known by its path and
// query: the host may be overridden, the token alone decides. APNs hex is not
// case-sensitive.
func deviceKey(address string) string {
	if rest, ok := strings.CutPrefix(address, "https://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	if len(address)%2 == 0 && isHex(address) {
		return strings.ToLower(address)
	}
	return address
}

func isHex(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return s != ""
}
