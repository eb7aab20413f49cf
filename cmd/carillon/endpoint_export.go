package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// exportSummary is what an export prints.
type exportSummary struct {
	Endpoints int     `json:"endpoints"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
}

// exporting counts what passes and tells now and then how far it is.
type exporting struct {
	to   io.Writer
	env  *env
	door *door
	sum  exportSummary
	from time.Time
	last time.Time
}

// Write counts lines.
func (x *exporting) Write(b []byte) (int, error) {
	n, err := x.to.Write(b)
	x.sum.Bytes += int64(n)
	x.sum.Endpoints += bytes.Count(b[:n], []byte{'\n'})
	if now := x.door.clock.Now(); !x.env.json && now.Sub(x.last) >= toldEvery {
		x.last = now
		fmt.Fprintf(x.env.stderr, "%d endpoints, %.0f/s\n", x.sum.Endpoints, float64(x.sum.Endpoints)/now.Sub(x.from).Seconds())
	}
	return n, err
}

func (e *env) exportEndpoints(ctx context.Context, d *door, name string) error {
	x := &exporting{to: e.stdout, env: e, door: d, from: d.clock.Now()}
	x.last = x.from
	if name == "-" {
		if err := x.get(ctx); err != nil {
			return err
		}
		if e.json {
			return json.NewEncoder(e.stderr).Encode(x.sum)
		}
		x.tell(e.stderr)
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() //nolint:gosec // where the caller wants it; gone when it is not whole
	x.to = f
	if err := x.get(ctx); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil { //nolint:gosec // likewise
		return err
	}
	return e.answer(x.sum, x.tell)
}

func (x *exporting) tell(w io.Writer) {
	fmt.Fprintf(w, "%d endpoints in %.1f s\n", x.sum.Endpoints, x.sum.Seconds)
}

// get asks for the export and passes it on.
func (x *exporting) get(ctx context.Context) error {
	target := x.door.url + endpointsPath
	if x.door.app != "" {
		target += "?host=" + url.QueryEscape(x.door.app)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+x.door.token)
	res, err := x.door.http.Do(req)
	if err != nil {
		return x.door.unreachable(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, opsAnswer))
		return refusal(res.Status, text)
	}
	if _, err := io.CopyBuffer(x, struct{ io.Reader }{res.Body}, make([]byte, 256<<10)); err != nil {
		return fmt.Errorf("it broke off after %d endpoints and is not whole: run it again (%w)", x.sum.Endpoints, err)
	}
	x.sum.Seconds = x.door.clock.Now().Sub(x.from).Round(time.Millisecond).Seconds()
	return nil
}
