package client_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"carillon/client"
)

// FuzzPush: whatever comes as a push is somebody else's, or ours: then once, with
// ids, and the device goes on.
func FuzzPush(f *testing.F) {
	goldens, err := filepath.Glob("../provider/*/testdata/*.golden")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range goldens {
		switch filepath.Base(name) {
		case "alert.golden", "clears.golden", "tap.golden":
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			_, body, _ := bytes.Cut(b, []byte("\n\n"))
			f.Add(body)
		}
	}
	for _, s := range []string{
		"carillon?id=a&k=tap&v=1", `{"carillon":{"id":"a","k":"clear","v":"3","ids":["a","b"]}}`, `<toast launch="carillon?id=a&amp;k=alert&amp;v=1"/>`,
		`{"data":{"carillon_id":"a","carillon_kind":"clear","carillon_v":"2","carillon_ids":"a,b"}}`, `{"aps":{"alert":"of somebody else"}}`,
	} {
		f.Add([]byte(s))
	}
	offline, served := false, 0
	c, err := client.New("http://carillon.test", client.Options{Token: bearer, Attempts: 1, HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		if served++; offline {
			return nil, http.ErrServerClosed
		}
		return respond(200, `{"value":[],"@odata.deltaLink":"/x?$deltatoken=1"}`), nil
	})}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, push []byte) {
		d := c.Device(client.DeviceOptions{Host: "a.localhost", Store: memory{}})
		offline = true
		ours, changes, err := d.ProcessPush(t.Context(), push)
		if !ours && (changes != nil || err != nil) {
			t.Fatalf("somebody else's, and %v, %v", changes, err)
		}
		for i := range changes {
			kind := changes[i].Kind
			if kind == client.Changed && (!changes[i].Partial || changes[i].Item.ID != changes[i].ID) || kind == client.Removed {
				t.Fatalf("a push alone told %+v", changes[i])
			}
		}
		offline = false
		if again, _, err := d.ProcessPush(t.Context(), push); again != ours || err != nil {
			t.Fatalf("ours %v, then %v, %v", ours, again, err)
		}
		was := served
		if again, changes, err := d.ProcessPush(t.Context(), push); again != ours || len(changes) != 0 || err != nil || served != was {
			t.Fatalf("once more: %v, %v, %v after %d calls", again, changes, err, served-was)
		}
	})
}
