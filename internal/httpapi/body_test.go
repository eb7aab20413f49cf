package httpapi_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"carillon/internal/httpapi"
)

func squeeze(t *testing.T, w io.WriteCloser, err error, b []byte) {
	t.Helper()
	if err == nil {
		_, err = w.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBody(t *testing.T) {
	const limit = 1000
	s, _ := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("POST", "/beta/echo", func(r *httpapi.Request) error {
			if err := r.RefuseConditional(); err != nil {
				return err
			}
			b, err := r.Body(limit)
			if err != nil {
				return err
			}
			r.JSON(200, b)
			return nil
		})
	})
	text := []byte(`{"a":"` + strings.Repeat("b", limit-8) + `"}`)
	var gz, zl, df, bomb bytes.Buffer
	squeeze(t, gzip.NewWriter(&gz), nil, text)
	squeeze(t, zlib.NewWriter(&zl), nil, text)
	fw, err := flate.NewWriter(&df, 9)
	squeeze(t, fw, err, text)
	squeeze(t, gzip.NewWriter(&bomb), nil, make([]byte, 4<<20))
	for name, tt := range map[string]struct {
		header, value string
		body          []byte
		status        int
		target        string
	}{
		"none":        {"", "", text, 200, ""},
		"identity":    {"Content-Encoding", "Identity", text, 200, ""},
		"gzip":        {"Content-Encoding", "gzip", gz.Bytes(), 200, ""},
		"GZIP":        {"Content-Encoding", "GZIP", gz.Bytes(), 200, ""},
		"zlib":        {"Content-Encoding", "deflate", zl.Bytes(), 200, ""},
		"bare":        {"Content-Encoding", "deflate", df.Bytes(), 200, ""},
		"br":          {"Content-Encoding", "br", text, 415, "Content-Encoding"},
		"two":         {"Content-Encoding", "gzip, gzip", gz.Bytes(), 415, "Content-Encoding"},
		"not gzip":    {"Content-Encoding", "gzip", text, 400, "Content-Encoding"},
		"not deflate": {"Content-Encoding", "deflate", text, 400, "Content-Encoding"},
		"cut":         {"Content-Encoding", "gzip", gz.Bytes()[:gz.Len()-9], 400, "Content-Encoding"},
		"empty":       {"Content-Encoding", "gzip", nil, 400, "Content-Encoding"},
		"long":        {"", "", append([]byte(" "), text...), 413, ""},
		"bomb":        {"Content-Encoding", "gzip", bomb.Bytes(), 413, ""},
		"since":       {"If-Modified-Since", "Tue, 24 Nov 2026 00:00:00 GMT", text, 400, "If-Modified-Since"},
		"range":       {"If-Range", `"x"`, text, 400, "If-Range"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/beta/echo", bytes.NewReader(tt.body))
		if tt.header != "" {
			req.Header.Set(tt.header, tt.value)
		}
		res, err := client(t).Do(req)
		if err != nil {
			t.Fatal(name, err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d %s", name, res.StatusCode, b)
		}
		if tt.status == 200 {
			if !bytes.Equal(b, text) {
				t.Errorf("%s: another body came back: %.60s", name, b)
			}
		} else if e := readError(t, bytes.NewReader(b)); e.Error.Target != tt.target {
			t.Errorf("%s: %s", name, b)
		}
	}
}
