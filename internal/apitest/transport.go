// Package apitest holds what the doors answer to the API's description
// (internal/httpapi/openapi.yaml). It is for tests: a room's rig wraps its
// client's transport, and then every answer that its tests see is checked too.
package apitest

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
)

// maxKept is how much of an answer is kept to be checked; what is longer is
// checked by its head alone.
const maxKept = 4 << 20

// Transport makes a test fail for every answer that is not described: its
// status, media type, headers, and what is in it. A stream that lasts is checked
// by its head. Next nil is a transport of its own.
func Transport(t testing.TB, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	doc, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	if next == nil {
		own := &http.Transport{}
		t.Cleanup(own.CloseIdleConnections)
		next = own
	}
	return &transport{t: t, doc: doc, next: next}
}

type transport struct {
	t    testing.TB
	doc  *Document
	next http.RoundTripper
}

// RoundTrip asks the next transport and checks the answer when the test has
// read it.
func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := bodyOf(req)
	res, err := tr.next.RoundTrip(req)
	if err != nil {
		return res, err
	}
	x := Exchange{Method: req.Method, URL: req.URL, Sent: req.Header, Body: sent, Status: res.StatusCode, Header: res.Header}
	res.Body = &recorder{ReadCloser: res.Body, done: func(answer []byte, whole bool) {
		x.Answer, x.Cut = answer, !whole
		if err := tr.doc.Check(&x); err != nil {
			tr.t.Errorf("not as internal/httpapi/openapi.yaml describes it: %v", err)
		}
	}}
	return res, nil
}

// CloseIdleConnections is for http.Client's method of that name.
func (tr *transport) CloseIdleConnections() {
	if c, ok := tr.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// bodyOf is a copy of a request's body, nil when it cannot be had.
func bodyOf(req *http.Request) []byte {
	if req.GetBody == nil {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	defer func() { _ = body.Close() }()
	b, err := io.ReadAll(io.LimitReader(body, maxKept))
	if err != nil || len(b) == maxKept {
		return nil
	}
	return b
}

// recorder keeps what is read of an answer.
type recorder struct {
	io.ReadCloser

	kept []byte
	once sync.Once
	done func(answer []byte, whole bool)
}

// Read passes on what it reads; at the end the answer is checked.
func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if len(r.kept) <= maxKept {
		r.kept = append(r.kept, b[:n]...)
	}
	if errors.Is(err, io.EOF) {
		r.once.Do(func() { r.done(r.kept, len(r.kept) <= maxKept) })
	}
	return n, err
}

// Close checks what was read of an answer that was not read to its end.
func (r *recorder) Close() error {
	r.once.Do(func() { r.done(nil, false) })
	return r.ReadCloser.Close()
}
