package carillon_test

import (
	"net/url"
	"strings"
	"testing"

	"carillon"
)

func TestSplitChannel(t *testing.T) {
	for address, want := range map[string][2]string{
		"https://dm3p.notify.windows.com/?token=a%2f%2Bb": {"dm3p.notify.windows.com", "/?token=a%2f%2Bb"},
		"https://DM3P.Notify.Windows.com/w/?token=a":      {"dm3p.notify.windows.com", "/w/?token=a"},
		"https://notify.windows.com:443/?token=a":         {"notify.windows.com", "/?token=a"},
		"https://notify.windows.com?token=a":              {"notify.windows.com", "/?token=a"},
		"https://notify.windows.com":                      {"notify.windows.com", "/"},
	} {
		host, path, ok := carillon.SplitChannel(address)
		if got := [2]string{host, path}; !ok || got != want {
			t.Errorf("%s: %v %v, want %v", address, got, ok, want)
		}
		if err := windows(address).Validate(); err != nil {
			t.Errorf("%s cannot be registered: %v", address, err)
		}
	}
	for _, address := range []string{
		"", "http://notify.windows.com/?token=a", "HTTPS://notify.windows.com/", "https:/notify.windows.com/", "https:notify.windows.com", "//notify.windows.com/",
		"https://evilnotify.windows.com/", "https://notify.windows.com.evil.com/", "https://windows.com/",
		"https://u@notify.windows.com/", "https://u:p@notify.windows.com/", "https://@notify.windows.com/", "https://evil.com/@notify.windows.com/",
		"https://notify.windows.com:8443/", "https://notify.windows.com:/", "https://notify.windows.com:0443/", "https://notify.windows.com:443:443/",
		"https://notify.windows.com./", "https://notify.windows.com.:443/", "https://.notify.windows.com/", "https://a..notify.windows.com/",
		"https://-.notify.windows.com/", "https://a-.notify.windows.com/", "https://a_b.notify.windows.com/", "https://%61.notify.windows.com/",
		"https://evil.com\\.notify.windows.com/", "https://evil.com#.notify.windows.com/", "https://evil.com?.notify.windows.com", "https://evil.com/.notify.windows.com",
		"https://evil.com%2f.notify.windows.com/", "https://evil.com;.notify.windows.com/", "https://notify.windows.com/#x",
		"https://notify.windows.com/a b", "https://notify.windows.com/\r\nHost: x", "https://notify.windows.com/ü", "https://notify.windows.com\x00/",
		"https://ü.notify.windows.com/", "https://notify。windows。com/", "https://notify.windows.com//evil.com/",
		"https://[::1].notify.windows.com/", "https://[::1]/", "https://127.0.0.1/", "https://2130706433/", "https://0x7f.1/", "https://localhost/",
		"https://169.254.169.254/latest/notify.windows.com", "https://notify.windows.com/" + strings.Repeat("a", 2048),
		"https://" + strings.Repeat("a", 64) + ".notify.windows.com/", "https://" + strings.Repeat("a.", 120) + "notify.windows.com/",
	} {
		if host, path, ok := carillon.SplitChannel(address); ok {
			t.Errorf("%q was taken: %s %s", address, host, path)
		}
		if err := windows(address).Validate(); err == nil || carillon.AsError(err).Target != "address" {
			t.Errorf("%q can be registered: %v", address, err)
		}
	}
}

func windows(address string) *carillon.Endpoint {
	return &carillon.Endpoint{ID: "pc", Platform: carillon.Windows, Address: address}
}

// FuzzSplitChannel: whatever a device registers, the access token goes to WNS,
// and every reader of URLs agrees where that is.
func FuzzSplitChannel(f *testing.F) {
	f.Add("https://dm3p.notify.windows.com/?token=a%2f")
	f.Add("https://evil.com/https://notify.windows.com")
	f.Fuzz(func(t *testing.T, address string) {
		host, path, ok := carillon.SplitChannel(address)
		if ok != (windows(address).Validate() == nil) {
			t.Fatalf("%q: the rule says %v, registration does not", address, ok)
		}
		if !ok {
			return
		}
		u, err := url.Parse(address)
		if err != nil {
			return // stricter than we need it: the path is opaque to us
		}
		if u.Scheme != "https" || !strings.EqualFold(u.Hostname(), host) || u.User != nil || !strings.HasPrefix(path, "/") ||
			host != "notify.windows.com" && !strings.HasSuffix(host, ".notify.windows.com") {
			t.Fatalf("%q became %s %s", address, host, path)
		}
	})
}
