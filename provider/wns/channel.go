package wns

import "strings"

const (
	service  = "notify.windows.com"
	tooLong  = 2048
	hostMost = 253
)

// splitChannel takes a channel URI apart into host and path with query, without
// re-encoding a byte: WNS answers 404 to a URI that was changed. Ok is false
// for what is not https or not WNS's own (the access token would go there).
func splitChannel(address string) (host, path string, ok bool) {
	rest, found := strings.CutPrefix(address, "https://")
	if !found || len(address) > tooLong {
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
	host = strings.ToLower(strings.TrimSuffix(host, ":443"))
	if len(host) > hostMost || host != service && !strings.HasSuffix(host, "."+service) {
		return "", "", false
	}
	for i := range len(host) { // no user, no port, nothing that a URL parser might read otherwise
		c := host[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return "", "", false
		}
	}
	return host, path, true
}
