package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	opsTimeout = 10 * time.Second
	opsAnswer  = 64 << 20 // the longest answer that is read
)

// opsClient asks a running process over its ops listener.
type opsClient struct {
	base string
	http *http.Client
}

// newOpsClient takes host:port or a URL.
func newOpsClient(addr string) *opsClient {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	return &opsClient{base: strings.TrimSuffix(addr, "/"), http: &http.Client{
		Timeout:   opsTimeout,
		Transport: &http.Transport{DisableKeepAlives: true}, // one call a command: nothing is left behind
	}}
}

// patient gives the client all the time that an answer takes: some look at the
// whole store.
func (c *opsClient) patient() *opsClient {
	c.http.Timeout = 0
	return c
}

// call sends body, if it is not nil, as JSON and decodes the answer into out.
func (c *opsClient) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, in)
	if err != nil {
		return usagef("--ops %s is no address: %v", c.base, err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, opsAnswer))
	if err != nil {
		return fmt.Errorf("the answer of %s broke off: %w", c.base, err)
	}
	if res.StatusCode/100 != 2 {
		return refusal(res.Status, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s answered what is not understood: %w", c.base+path, err)
	}
	return nil
}

func (c *opsClient) unreachable(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("nothing listens at %s: start `carillon serve`, or name its ops listener with --ops", c.base)
	}
	return fmt.Errorf("asking %s: %w", c.base, err)
}

// refusal reads Graph's error form.
func refusal(status string, text []byte) error {
	var body struct {
		Error struct{ Code, Message, Target string } `json:"error"`
	}
	if json.Unmarshal(text, &body) != nil || body.Error.Message == "" {
		return fmt.Errorf("answered %s: %.200s", status, text)
	}
	if body.Error.Target != "" {
		return fmt.Errorf("%s: %s", body.Error.Target, body.Error.Message)
	}
	return errors.New(body.Error.Message)
}
