package sandbox

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"
)

// Vendor names one of the servers, in JSON, scripts and counts.
type Vendor string

// The vendors, and the token endpoints as a fourth.
const (
	APNs  Vendor = "apns"
	FCM   Vendor = "fcm"
	WNS   Vendor = "wns"
	Token Vendor = "token"
)

// Mode says how much a server does with a request.
type Mode int

const (
	// Strict validates headers, credentials and payload as the vendor documents
	// it, and keeps a tray and an inbox for each device.
	Strict Mode = iota
	// Fast accepts everything that is HTTP and only counts: for benches.
	Fast
)

// String is "strict" or "fast".
func (m Mode) String() string {
	if m == Fast {
		return "fast"
	}
	return "strict"
}

// Config is what a [Server] can be told. The zero value is a strict sandbox on
// free loopback ports whose identity is gone when it stops.
type Config struct {
	// Dir holds the CA, its key and the credentials: made with mode 0700, files
	// 0600, and found again at the next start. Empty: in memory only.
	Dir string
	// APNsAddr, FCMAddr, WNSAddr and TokenAddr are listen addresses; empty means
	// 127.0.0.1:0. Only loopback is allowed: the CA signs the vendors' names.
	APNsAddr, FCMAddr, WNSAddr, TokenAddr string
	// Mode is Strict unless Fast is asked for.
	Mode Mode
	// Audit makes Fast mode look for repeated (device, notification) pairs, at
	// about 0.3 µs a request and 16 to 32 bytes a pair. Strict always looks.
	Audit bool
	// Watch, when set, hears of every push that Fast mode accepts when it comes, with
	// the device address; of WNS its path and query only. It is called by
	// connections, at the same time, and must be quick.
	Watch func(v Vendor, address string)
	// Keep is the most inbox and the most tray entries a device keeps; 0: 100.
	// All inboxes together keep 128 MiB, oldest out first.
	Keep int
	// Devices is the most devices told apart; 0: 1,000,000. More are served but
	// no longer counted as distinct.
	Devices int
	// Conduct is how vendors are; one that is not named is as [VendorConduct] says.
	Conduct map[Vendor]Conduct
	// Seed makes shares, rates and latencies repeatable, as far as the order of
	// requests is; 0: from the clock. [Server.Seed] tells it.
	Seed uint64
	// WNSHTTP1Only makes WNS offer http/1.1 alone, as its documents do.
	WNSHTTP1Only bool
	// Now is the clock for trays, token ages and TTLs; nil: the system's.
	Now func() time.Time
	// Logger gets connection faults at debug and rejected requests at info; nil: none.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	for _, a := range []struct {
		key  string
		addr *string
	}{{"APNsAddr", &c.APNsAddr}, {"FCMAddr", &c.FCMAddr}, {"WNSAddr", &c.WNSAddr}, {"TokenAddr", &c.TokenAddr}} {
		if *a.addr == "" {
			*a.addr = "127.0.0.1:0"
		}
		if err := loopback(*a.addr); err != nil {
			return c, fmt.Errorf("sandbox: %s: %w", a.key, err)
		}
	}
	if c.Mode != Strict && c.Mode != Fast {
		return c, fmt.Errorf("sandbox: Mode %d is neither Strict nor Fast", c.Mode)
	}
	if c.Keep <= 0 {
		c.Keep = 100
	}
	if c.Devices <= 0 {
		c.Devices = 1_000_000
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64() //nolint:gosec // a test's chance, not a secret
	}
	if c.Now == nil {
		c.Now = realNow
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port: %w", addr, err)
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback address; the sandbox signs the vendors' names and must stay on this machine: use 127.0.0.1:port", addr)
	}
	return nil
}

// realNow is the system's time, for TLS, socket deadlines and as the default clock.
func realNow() time.Time {
	return time.Now() //nolint:forbidigo // TLS validity, socket deadlines and scripted delays are real time
}
