package carillon

import (
	"strings"
	"time"
)

// Platform is the kind of device that an endpoint lives on. The values are
// pinned: they stand in journal records and rows.
type Platform uint8

// The platforms of contract: Polling endpoints are never pushed to.
const (
	PlatformNone Platform = iota
	Windows
	IOS
	Android
	Web
	Polling
)

// Platforms is the number of platform values, [PlatformNone] included.
const Platforms = int(Polling) + 1

// String is the name in the endpoints API.
func (p Platform) String() string {
	switch p {
	case Windows:
		return "windows"
	case IOS:
		return "ios"
	case Android:
		return "android"
	case Web:
		return "web"
	case Polling:
		return "polling"
	case PlatformNone:
	}
	return "none"
}

// ParsePlatform reads a platform's name, in any case; "webpush" is web.
func ParsePlatform(s string) (Platform, bool) {
	switch strings.ToLower(s) {
	case "windows":
		return Windows, true
	case "ios":
		return IOS, true
	case "android":
		return Android, true
	case "web", "webpush":
		return Web, true
	case "polling":
		return Polling, true
	}
	return PlatformNone, false
}

// PlatformSet is a set of platforms, a bit each. The empty set means all.
type PlatformSet uint8

// With is the set and p.
func (s PlatformSet) With(p Platform) PlatformSet { return s | 1<<p }

// Has tells whether p is meant: it is in the set, or the set is empty.
func (s PlatformSet) Has(p Platform) bool { return s == 0 || s&(1<<p) != 0 }

// Preference is how much an endpoint wants to be told. Values are pinned.
type Preference uint8

// The preferences of contract: with the content, a bare tap, or nothing at all.
const (
	WithPayload Preference = iota
	TapOnly
	NoPush
)

// String is the name in the endpoints API.
func (p Preference) String() string {
	switch p {
	case TapOnly:
		return "tapOnly"
	case NoPush:
		return "none"
	case WithPayload:
	}
	return "withPayload"
}

// ParsePreference reads a preference's name; "" is [WithPayload].
func ParsePreference(s string) (Preference, bool) {
	switch strings.ToLower(s) {
	case "", "withpayload":
		return WithPayload, true
	case "taponly":
		return TapOnly, true
	case "none":
		return NoPush, true
	}
	return WithPayload, false
}

const (
	// MaxEndpoints is how many endpoints of one platform a user keeps; the one
	// renewed longest ago makes room for an eleventh.
	MaxEndpoints = 10
	// EndpointLife is an endpoint's life since its last renewal.
	EndpointLife = 30 * 24 * time.Hour

	maxInstallation = 128
	maxAddress      = 2048
	maxAppID        = 256
	maxLocale       = 35
)

// Endpoint is one installation of an app for one user on one device.
type Endpoint struct {
	// ID is the installation id that the app chose: its key among the user's
	// endpoints.
	ID       string
	Platform Platform
	// Address is the vendor's push address: a device token (hexadecimal for
	// APNs) or a WNS channel URI.
	Address string
	// AppID is the bundle id, package name or AUMID that the address belongs to.
	AppID string
	// Environment is the APNs environment, "production" (or "") or "sandbox".
	Environment string
	Locale      string
	Push        Preference
	// Expires is the end of its life, milliseconds since 1970.
	Expires int64

	// Incarnation is the seq at which this installation joined. Renewals keep
	// it; leaving and coming back makes a new one.
	Incarnation Seq
	// Addressed is the seq at which the present address was set: a vendor's
	// word that the address is gone counts only against this.
	Addressed Seq
	// Version is the seq of the last write.
	Version Seq
	// Registered is when the present address was registered, in milliseconds
	// since 1970 by the door's clock: APNs' 410 timestamp is compared with it.
	Registered int64
}

// Alive tells whether the endpoint's life lasts at now (milliseconds).
func (e *Endpoint) Alive(now int64) bool { return e.Expires > now }

// Validate checks what a device or server registers.
func (e *Endpoint) Validate() error {
	switch {
	case e.ID == "" || len(e.ID) > maxInstallation || !printable(e.ID):
		return Errorf(CodeInvalidRequest, "installationId", "an installation id has 1 to %d printable ASCII characters without space or slash", maxInstallation)
	case e.Platform == PlatformNone:
		return Errorf(CodeInvalidRequest, "platform", "name one of windows, ios, android, web, polling")
	case len(e.Address) > maxAddress:
		return Errorf(CodeInvalidRequest, "address", "an address has at most %d bytes, this one has %d", maxAddress, len(e.Address))
	case len(e.AppID) > maxAppID:
		return Errorf(CodeInvalidRequest, "appId", "an appId has at most %d bytes, this one has %d", maxAppID, len(e.AppID))
	case len(e.Locale) > maxLocale:
		return Errorf(CodeInvalidRequest, "locale", "a locale (BCP 47) has at most %d bytes, this one has %d", maxLocale, len(e.Locale))
	case e.Environment != "" && e.Environment != "production" && e.Environment != "sandbox":
		return Errorf(CodeInvalidRequest, "environment", "%.40q is not production or sandbox", e.Environment)
	}
	return e.validateAddress()
}

func (e *Endpoint) validateAddress() error {
	if e.Platform == Polling {
		if e.Address != "" {
			return Errorf(CodeInvalidRequest, "address", "a polling endpoint has no address")
		}
		return nil
	}
	if e.Address == "" {
		return Errorf(CodeInvalidRequest, "address", "a %s endpoint needs its push address", e.Platform)
	}
	switch e.Platform {
	case Windows:
		return validateChannel(e.Address)
	case IOS:
		if !hexadecimal(e.Address) {
			return Errorf(CodeInvalidRequest, "address", "an APNs device token is hexadecimal")
		}
		if e.AppID == "" {
			return Errorf(CodeInvalidRequest, "appId", "an iOS endpoint needs its bundle id: it becomes the APNs topic")
		}
	case Android:
		if !printable(e.Address) {
			return Errorf(CodeInvalidRequest, "address", "an FCM registration token is printable ASCII without space or slash")
		}
	case PlatformNone, Web, Polling:
	}
	return nil
}

// validateChannel holds WNS addresses to what [SplitChannel] takes, so that no
// sender can point our access token anywhere else.
func validateChannel(address string) error {
	if _, _, ok := SplitChannel(address); !ok {
		return Errorf(CodeInvalidRequest, "address", "a WNS channel URI is https://….notify.windows.com/?token=… and goes nowhere else; send it as Windows gave it")
	}
	return nil
}

func hexadecimal(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s)%2 == 0
}

func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Register merges a registration into what is known of the installation: cur
// is the present row (nil when there is none or it left), reg what the record
// brings, at its seq. A renewal keeps the incarnation; the same address keeps
// its age.
func Register(cur *Endpoint, reg Endpoint, at Seq, now int64) Endpoint {
	reg.Version, reg.Incarnation, reg.Addressed = at, at, at
	if cur == nil || !cur.Alive(now) {
		return reg
	}
	reg.Incarnation = cur.Incarnation
	if cur.Address == reg.Address && cur.Platform == reg.Platform && cur.Environment == reg.Environment {
		reg.Addressed, reg.Registered = cur.Addressed, cur.Registered
	}
	return reg
}

// Evictee is the index of the endpoint that makes room when one of platform p
// joins a user's full set, or -1 when there is room.
func Evictee(eps []Endpoint, p Platform) int {
	n, oldest := 0, -1
	for i := range eps {
		if eps[i].Platform != p {
			continue
		}
		n++
		if oldest < 0 || eps[i].Version < eps[oldest].Version {
			oldest = i
		}
	}
	if n < MaxEndpoints {
		return -1
	}
	return oldest
}
