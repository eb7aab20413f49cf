package feed

import (
	"io"

	"carillon"
	"carillon/internal/auth"
	"carillon/internal/httpapi"
)

// exportPage is about how many bytes are read from the store at once.
const exportPage = 256 << 10

// export answers GET /api/v1/endpoints?host=: every live endpoint of the hosts
// that the token's app owns, or of the one it names, a line each, in the form
// that the import takes. A user's endpoints are of one moment; one who registers
// while the export runs may or may not be in it. An answer that ends without
// its last chunk is not whole.
func (f *Feed) export(r *httpapi.Request) error {
	hosts, err := f.hosts(r, auth.RoleEndpoints)
	if err != nil {
		return err
	}
	r.Send("application/x-ndjson", &export{directory: f.deps.Directory, hosts: hosts})
	return nil
}

// export is the body of the answer. It reads page by page, so that a slow
// reader holds nothing in the store.
type export struct {
	directory Directory
	hosts     []string // still to come; the first is under way
	after     string   // the last user of it that was read
	page      []byte
	at        int
}

// Read gives the next lines.
func (x *export) Read(b []byte) (int, error) {
	for x.at == len(x.page) {
		if len(x.hosts) == 0 {
			return 0, io.EOF
		}
		if err := x.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, x.page[x.at:])
	x.at += n
	return n, nil
}

// Close lets go of the page.
func (x *export) Close() error {
	x.hosts, x.page, x.at = nil, nil, 0
	return nil
}

func (x *export) next() error {
	x.page, x.at = x.page[:0], 0
	full := false
	err := x.directory.EachEndpoint(x.hosts[0], x.after, func(u carillon.User, eps []carillon.Endpoint) bool {
		for i := range eps {
			x.page = appendExported(x.page, u, &eps[i])
		}
		x.after = u.ID
		full = len(x.page) >= exportPage
		return !full
	})
	if !full {
		x.hosts, x.after = x.hosts[1:], ""
	}
	return err
}

// appendExported writes an endpoint as a line of the import.
func appendExported(dst []byte, u carillon.User, e *carillon.Endpoint) []byte {
	dst = append(dst, `{"userId":`...)
	dst = httpapi.AppendString(dst, u.ID)
	for _, m := range [...]struct{ name, value string }{
		{"installationId", e.ID},
		{"host", u.Host},
		{"platform", e.Platform.String()},
		{"address", e.Address},
		{"appId", e.AppID},
		{"environment", e.Environment},
		{"locale", e.Locale},
		{"push", e.Push.String()},
	} {
		if m.value == "" {
			continue
		}
		dst = append(dst, `,"`...)
		dst = append(dst, m.name...)
		dst = append(dst, `":`...)
		dst = httpapi.AppendString(dst, m.value)
	}
	dst = append(dst, `,"expirationDateTime":`...)
	dst = httpapi.AppendTime(dst, e.Expires)
	if e.Registered > 0 {
		dst = append(dst, `,"registeredDateTime":`...)
		dst = httpapi.AppendTime(dst, e.Registered)
	}
	return append(dst, "}\n"...)
}
