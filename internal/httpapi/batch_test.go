package httpapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"carillon"
	"carillon/internal/httpapi"
)

// batchAnswer is the answer to a batch.
type batchAnswer struct {
	Responses []struct {
		ID      string            `json:"id"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"responses"`
}

// line is one response in short.
func (a *batchAnswer) line() string {
	var out []string
	for _, r := range a.Responses {
		out = append(out, fmt.Sprintf("%s=%d", r.ID, r.Status))
	}
	return strings.Join(out, " ")
}

func batchServer(t *testing.T) (post func(path, body string, headers ...string) (int, string)) {
	s, _ := start(t, httpapi.Config{}, quiet(), func(rt *httpapi.Router) {
		rt.Handle("GET", "/beta/echo/{id}", func(r *httpapi.Request) error {
			token, err := r.Bearer()
			if err != nil {
				return err
			}
			b := httpapi.AppendString(nil, strings.Join([]string{string(r.AppendServiceRoot(nil)), r.Param("id"), r.Query("q"), string(token), r.Header("X-UNS-ID"), r.Header("ReadWriteConsistencyToken")}, "|"))
			r.JSON(200, b)
			return nil
		})
		rt.Handle("POST", "/beta/echo", func(r *httpapi.Request) error {
			body, err := r.Body(100)
			if err != nil {
				return err
			}
			r.SetHeader("ReadWriteConsistencyToken", "here")
			r.SetHeader("Location", "/beta/echo/5")
			r.JSON(201, body)
			return nil
		})
		rt.Handle("DELETE", "/beta/echo/{id}", func(r *httpapi.Request) error {
			r.Status(204)
			return nil
		})
		rt.Handle("GET", "/beta/count", func(r *httpapi.Request) error {
			r.Text(200, []byte("5"))
			return nil
		})
		rt.Handle("GET", "/beta/large", func(r *httpapi.Request) error {
			r.JSON(200, []byte(`"`+strings.Repeat("x", 1<<20)+`"`))
			return nil
		})
		rt.Handle("GET", "/beta/panics", func(*httpapi.Request) error { panic("now") })
	})
	s2 := s.URL()
	c := client(t)
	return func(path, body string, headers ...string) (int, string) {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", s2+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer mine")
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, strings.ReplaceAll(string(b), s2, "ROOT")
	}
}

func TestBatch(t *testing.T) {
	post := batchServer(t)
	status, body := post("/v1.0/$batch", `{"requests":[
		{"id":"late","method":"GET","url":"/echo/a%20b?q=c%26d","dependsOn":["first"]},
		{"id":"first","method":"post","url":"echo","headers":{"Content-Type":"application/json"},"body":{"a":[1,2]}},
		{"id":"plain","method":"GET","url":"/echo/1","headers":{"X-UNS-ID":"its own"}},
		{"id":"b64","method":"POST","url":"/echo","headers":{"content-type":"text/plain"},"body":"InRleHQi"},
		{"id":"none","method":"DELETE","url":"/echo/1"},
		{"id":"count","method":"GET","url":"/count"},
		{"id":"lost","method":"GET","url":"/nowhere"},
		{"id":"follows","method":"GET","url":"/echo/1","dependsOn":["plain","lost"]},
		{"id":"further","method":"GET","url":"/echo/1","dependsOn":["follows"]},
		{"id":"big","method":"POST","url":"/echo","headers":{"Content-Type":"application/json"},"body":"`+strings.Repeat("x", 200)+`"},
		{"id":"untyped","method":"POST","url":"/echo","body":{}},
		{"id":"api","method":"GET","url":"/../api/v1/endpoints"},
		{"id":"nested","method":"POST","url":"/$batch","headers":{"Content-Type":"application/json"},"body":{}},
		{"id":"nested2","method":"POST","url":"/%24batch"},
		{"id":"abroad","method":"GET","url":"https://example.com/echo/1"},
		{"id":"abroad2","method":"GET","url":"//example.com/echo/1"},
		{"id":"token","method":"GET","url":"/echo/1","headers":{"Authorization":"Bearer other"}},
		{"id":"split","method":"GET","url":"/echo/1","headers":{"X":"a\r\nb"}},
		{"id":"trace","method":"TRACE","url":"/echo/1"},
		{"id":"panics","method":"GET","url":"/panics"}]}`, "X-UNS-ID", "outer")
	var got batchAnswer
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatal(status, err, body)
	}
	const want = "first=201 late=200 plain=200 b64=201 none=204 count=200 lost=404 follows=424 further=424 big=413 untyped=400 api=404 " +
		"nested=400 nested2=400 abroad=400 abroad2=400 token=400 split=400 trace=400 panics=500"
	if got.line() != want {
		t.Errorf("%s\nwant %s\n%s", got.line(), want, body)
	}
	for i, want := range []string{
		`{"a":[1,2]}`, `"ROOT/v1.0|a b|c&d|mine|outer|here"`, `"ROOT/v1.0|1||mine|its own|"`, `"InRleHQi"`, "", `"NQ=="`,
	} {
		if i == 3 { // what was posted as text comes back as JSON
			want = `"text"`
		}
		if string(got.Responses[i].Body) != want {
			t.Errorf("%s: %s, want %s", got.Responses[i].ID, got.Responses[i].Body, want)
		}
	}
	if h := got.Responses[0].Headers; h["Location"] != "/beta/echo/5" || h["Request-Id"] == "" && h["request-id"] == "" {
		t.Errorf("headers %v", h)
	}
	for _, r := range got.Responses[6:] {
		if e := readError(t, strings.NewReader(string(r.Body))); e.Error.Code == "" {
			t.Errorf("%s: %s", r.ID, r.Body)
		}
	}
}

func TestBatchFaults(t *testing.T) {
	post := batchServer(t)
	one := `{"id":"ID","method":"GET","url":"/count"}`
	many := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, strings.ReplaceAll(one, "ID", fmt.Sprint(i)))
		}
		return `{"requests":[` + strings.Join(all, ",") + `]}`
	}
	for body, want := range map[string]int{
		many(20): 200, many(21): 400, many(0): 400, "": 400, "[]": 400, `{"requests":[null]}`: 400, `{"requests":[{}]}`: 400, "{": 400,
		`{"requests":[` + one + "," + one + `]}`:                                                  400,
		`{"requests":[{"id":"a","method":"GET","url":"/count","dependsOn":["b"]}]}`:               400,
		`{"requests":[{"id":"a","method":"GET","url":"/count","dependsOn":["a"]}]}`:               400,
		`{"requests":[{"id":"a","dependsOn":["b"]},{"id":"b","dependsOn":["a"]}]}`:                400,
		`{"requests":[{"id":5,"method":"GET","url":"/count"}]}`:                                   400,
		`{"requests":[{"id":"a","url":"/count","x":"` + strings.Repeat("x", 1<<20) + `"}]}`:       413,
		`{"requests":[{"id":"a","method":"GET","url":"/count"}],"x":{"a":["` + "\\u00e4" + `"]}}`: 200,
	} {
		if status, answer := post("/beta/$batch", body); status != want {
			t.Errorf("%.80s: %d %.200s", body, status, answer)
		}
	}
	if status, answer := post("/beta/$batch", many(1), "Authorization", "Bearer stranger"); status != 401 || !strings.Contains(answer, "nobody's") {
		t.Errorf("a batch of a stranger: %d %s", status, answer)
	}
	if status, answer := post("/beta/$batch", many(1), "Authorization", ""); status != 401 {
		t.Errorf("nobody: %d %s", status, answer)
	}
	// Beyond so many bytes of answers nothing more is begun.
	var large []string
	for i := range 20 {
		large = append(large, fmt.Sprintf(`{"id":"%d","method":"GET","url":"/large"}`, i))
	}
	status, answer := post("/beta/$batch", `{"requests":[`+strings.Join(large, ",")+`]}`)
	var got batchAnswer
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 || len(answer) > 6<<20 || got.Responses[0].Status != 200 || got.Responses[19].Status != 413 {
		t.Errorf("%d, %d bytes, %s", status, len(answer), got.line())
	}
}

// FuzzBatch: a batch is taken whole or refused whole.
func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"requests":[{"id":"a","method":"GET","url":"/x","dependsOn":["b"]},{"id":"b"}]}`))
	f.Add([]byte(`{"requests":[{"id":"a","headers":{"a":"b"},"body":[1]}]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := httpapi.ReadBatch(body)
		if err != nil {
			if e := carillon.AsError(err); e.Code != carillon.CodeInvalidRequest {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		if n < 1 || n > 20 {
			t.Errorf("%q: %d requests", body, n)
		}
	})
}
