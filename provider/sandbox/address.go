package sandbox

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
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

// faulty begins an address that always gets one answer; three digits follow.
const faulty = "deaddead0"

// FaultyAddress is an address that gets the same status for ever, without a script:
// the test of a sender registers it and needs to tell the sandbox nothing. For APNs
// 400 is BadDeviceToken and 410 Unregistered, for FCM 404 is UNREGISTERED, 400
// INVALID_ARGUMENT, 403 SENDER_ID_MISMATCH and 429 QUOTA_EXCEEDED, for WNS 410 is an
// expired channel and 406 the sender's throttle; 500 and 503 are the vendor's own.
// Fast mode does not look.
func FaultyAddress(v Vendor, seed string, status int) string {
	mark := fmt.Sprintf("%s%03d", faulty, status)
	switch a := NewAddress(v, seed); v {
	case APNs, FCM:
		return mark + a[len(mark):]
	case WNS:
		return wnsPrefix + mark + strings.TrimPrefix(a, wnsPrefix)
	default:
		return ""
	}
}

// chosenStatus is the status that an address asks for; 0: none.
func chosenStatus(key string) int {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(key, "/?token="), faulty)
	if !ok || len(rest) < 3 {
		return 0
	}
	n, err := strconv.Atoi(rest[:3])
	if err != nil || n < 200 || n > 599 {
		return 0
	}
	return n
}

// isFID: a Firebase installation id, ^[cdef][A-Za-z0-9_-]{21}$.
func isFID(s string) bool {
	if len(s) != 22 || s[0] < 'c' || s[0] > 'f' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// vendorOf tells whose address it is by its form.
func vendorOf(address string) Vendor {
	switch key := deviceKey(address); {
	case strings.HasPrefix(key, "/"):
		return WNS
	case len(key) >= 64 && isHex(key):
		return APNs
	default:
		return FCM
	}
}

const wnsPrefix = "https://wns2-sbx.notify.windows.com/?token="

// wnsEscape escapes base64 as the channel URIs do it: lower-case hex.
func wnsEscape(s string) string {
	return strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(s)
}

// deviceKey is how an address is looked up. A WNS channel is known by its path and
// query: the host may be overridden, the token alone decides. APNs hex is not
// case-sensitive. An FCM installation is one device, by its FID or by a token.
func deviceKey(address string) string {
	if rest, ok := strings.CutPrefix(address, "https://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
	}
	if fid, _, ok := strings.Cut(address, ":"); ok && isFID(fid) {
		return fid // a registration token begins with the installation's id
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
