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

func TestBound(t *testing.T) {
	s, _ := start(t, httpapi.Config{MaxRequestBytes: 1000}, quiet(), func(rt *httpapi.Router) {
		for _, p := range []string{"/api/v1/small", "/api/v1/large"} {
			rt.Handle("POST", p, func(r *httpapi.Request) error {
				b, err := r.Body(5000)
				r.JSON(200, httpapi.AppendInt(nil, len(b)))
				return err
			})
		}
		rt.Bound("POST", "/api/v1/large", 5000)
	})
	for _, tt := range []struct {
		path   string
		bytes  int
		status int
		want   string
	}{
		{"small", 1000, 200, "1000"},
		{"small", 1001, 413, "the 1000 bytes"},
		{"large", 5000, 200, "5000"},
		{"large?x=1", 5000, 200, "5000"},
		{"large", 5001, 413, "the 5000 bytes"},
		{"large", 900_000, 413, "the 5000 bytes"},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(strings.Repeat("a", tt.bytes))
			if chunked {
				body = io.MultiReader(body)
			}
			res, err := client(t).Post(s.URL()+"/api/v1/"+tt.path, "text/plain", body)
			if err != nil {
				t.Errorf("%s %d: %v", tt.path, tt.bytes, err)
				continue
			}
			b, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != tt.status || !strings.Contains(string(b), tt.want) {
				t.Errorf("%s %d chunked=%v: %d %s", tt.path, tt.bytes, chunked, res.StatusCode, b)
			}
		}
	}
}
