package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Store keeps a device's state over restarts: a value a key, some hundred
// kilobytes at most.
type Store interface {
	// Load is the value, nil when there is none.
	Load(ctx context.Context, key string) ([]byte, error)
	Save(ctx context.Context, key string, value []byte) error
}

// SyncStatus tells whether a sync is under way.
type SyncStatus uint8

// The states of a sync.
const (
	Queued SyncStatus = iota
	Synchronized
)

// DeviceOptions say which app on which device it is.
type DeviceOptions struct {
	// Host is the app: targetHostName of its notifications.
	Host string
	// Installation names this installation of the app, for good: up to 128 bytes.
	Installation string
	// Store keeps subscription and position; nil keeps them in memory.
	Store Store
	// OnSyncStatus and OnChange are told of a sync's begin and end, and of what
	// it found, on the goroutine that syncs. They must not sync themselves.
	OnSyncStatus func(SyncStatus)
	OnChange     func([]Change)
}

// Device is an app on one of the user's devices. Its client has a user's token.
// It is safe for concurrent use; pushes and syncs go one after the other.
type Device struct {
	c    *Client
	opts DeviceOptions
	turn chan struct{} // held by who syncs
	// mu guards what follows.
	mu     sync.Mutex
	loaded bool
	kept   kept
	status SyncStatus
}

// kept is what a Store keeps.
type kept struct {
	Subscription Subscription    `json:"subscription"`
	Reader       string          `json:"reader,omitempty"`
	Seen         map[string]seen `json:"seen,omitempty"`
	Order        []string        `json:"order,omitempty"` // of Seen, oldest first
}

// Device is the client as an app on a device.
func (c *Client) Device(o DeviceOptions) *Device {
	return &Device{c: c, opts: o, turn: make(chan struct{}, 1), status: Synchronized}
}

// load reads the store once.
func (d *Device) load(ctx context.Context) (kept, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.loaded || d.opts.Store == nil {
		return d.kept, nil
	}
	b, err := d.opts.Store.Load(ctx, d.key())
	if err == nil && len(b) > 0 {
		err = json.Unmarshal(b, &d.kept)
	}
	if err != nil {
		return kept{}, fmt.Errorf("client: the device's state cannot be loaded: %w", err)
	}
	d.loaded = true
	return d.kept, nil
}

// save changes what is kept, in memory too only when the store took it.
func (d *Device) save(ctx context.Context, change func(k *kept)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.kept
	change(&next)
	if d.opts.Store != nil {
		b, err := json.Marshal(&next)
		if err == nil {
			err = d.opts.Store.Save(ctx, d.key(), b)
		}
		if err != nil {
			return fmt.Errorf("client: the device's state cannot be saved: %w", err)
		}
	}
	d.kept, d.loaded = next, true
	return nil
}

func (d *Device) key() string { return "carillon/" + d.opts.Host + "/" + d.opts.Installation }

// Registration is how the device is rung.
type Registration struct {
	Platform string `json:"platform"`          // windows, ios, android, web or polling
	Address  string `json:"address,omitempty"` // channel URI or token
	// AppID is the bundle id, the package or the AUMID.
	AppID       string `json:"appId,omitempty"`
	Environment string `json:"environment,omitempty"`
	Locale      string `json:"locale,omitempty"`
	Push        string `json:"push,omitempty"` // withPayload, tapOnly or none
}

// Subscription is a registration that holds.
type Subscription struct {
	// ID is what a sender's X-UNS-ID takes.
	ID       string    `json:"subscriptionId"`
	Expires  time.Time `json:"expirationDateTime"`
	Position string    `json:"position"`
}

// Subscribe registers the device, or renews it: do so at each start of the app
// and whenever its push token changes.
func (d *Device) Subscribe(ctx context.Context, r Registration) (Subscription, error) {
	if _, err := d.load(ctx); err != nil {
		return Subscription{}, err
	}
	body, err := json.Marshal(struct {
		Host string `json:"host"`
		Registration
	}{d.opts.Host, r})
	if err != nil {
		return Subscription{}, err
	}
	var s Subscription
	if err := d.c.json(ctx, &call{method: http.MethodPut, path: []string{"api", "v1", "me", "endpoints", d.opts.Installation}, body: body, of: about(d.opts.Host, "")}, &s); err != nil {
		return Subscription{}, err
	}
	return s, d.save(ctx, func(k *kept) { k.Subscription = s })
}

// Unsubscribe takes the device out, and forgets what is kept of it.
func (d *Device) Unsubscribe(ctx context.Context) error {
	if _, err := d.load(ctx); err != nil {
		return err
	}
	in := &call{method: http.MethodDelete, path: []string{"api", "v1", "me", "endpoints", d.opts.Installation}, query: hostQuery(d.opts.Host)}
	if _, err := d.c.do(ctx, in); err != nil {
		return err
	}
	return d.save(ctx, func(k *kept) { *k = kept{} })
}

// call makes a call as this device.
func (d *Device) call(ctx context.Context, in *call, out any) error {
	k, err := d.load(ctx)
	if err != nil {
		return err
	}
	d.sign(in, &k)
	return d.c.json(ctx, in, out)
}

// sign names the device, so that it hears nothing of what it did itself and sees
// what was written before.
func (d *Device) sign(in *call, k *kept) {
	if in.header == nil {
		in.header = map[string]string{}
	}
	if k.Subscription.ID != "" {
		in.header[subscriptionHeader] = k.Subscription.ID
	}
	if in.query == "" {
		in.query = hostQuery(d.opts.Host)
	}
	in.of = about(d.opts.Host, "")
}

func mine(rest ...string) []string { return append([]string{"beta", "me", "notifications"}, rest...) }

// Get is one notification.
func (d *Device) Get(ctx context.Context, id string) (*Item, error) {
	var it Item
	return &it, d.call(ctx, &call{method: http.MethodGet, path: mine(id)}, &it)
}

// All is the history: what is there, read and dismissed too. An error ends it.
func (d *Device) All(ctx context.Context) iter.Seq2[*Item, error] {
	return pages[Item]("", func(query string, page any) error {
		return d.call(ctx, &call{method: http.MethodGet, path: mine(), query: query}, page)
	})
}

// pages is a list that the service gives page by page: get decodes the one that a
// query asks for, the first by query. An error ends them.
func pages[T any](query string, get func(query string, page any) error) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for query := query; ; {
			var page struct {
				Value []T    `json:"value"`
				Next  string `json:"@odata.nextLink"`
			}
			if err := get(query, &page); err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Value {
				if !yield(&page.Value[i], nil) {
					return
				}
			}
			if query = queryOf(page.Next); query == "" {
				return
			}
		}
	}
}

// queryOf is a link's query: its host may be one that only the service knows.
func queryOf(link string) string {
	if u, err := url.Parse(link); err == nil {
		return u.RawQuery
	}
	_, q, _ := strings.Cut(link, "?")
	return q
}

func (d *Device) set(ctx context.Context, id string, state any) error {
	body, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var ignored json.RawMessage
	return d.call(ctx, &call{method: http.MethodPatch, path: mine(id), body: body}, &ignored)
}

// SetRead says whether the user has read it; the other devices follow.
func (d *Device) SetRead(ctx context.Context, id string, read bool) error {
	return d.set(ctx, id, map[string]bool{"readState": read})
}

// SetAction says what the user did with it; the other devices follow.
func (d *Device) SetAction(ctx context.Context, id string, a Action) error {
	return d.set(ctx, id, map[string]Action{"userActionState": a})
}

// Delete takes it out of the history and off every screen.
func (d *Device) Delete(ctx context.Context, id string) error {
	return d.call(ctx, &call{method: http.MethodDelete, path: mine(id)}, new(json.RawMessage))
}

// Ack tells how far the device has the feed ([Reader.Position]; "" to leave it),
// and what the user opened on it.
func (d *Device) Ack(ctx context.Context, position string, opened ...string) error {
	body, err := json.Marshal(struct {
		Position string   `json:"position,omitempty"`
		Opened   []string `json:"opened,omitempty"`
	}{position, opened})
	if err != nil {
		return err
	}
	return d.call(ctx, &call{method: http.MethodPost, path: []string{"api", "v1", "me", "feed", "ack"}, body: body}, new(json.RawMessage))
}

// SyncStatus is whether a sync is under way.
func (d *Device) SyncStatus() SyncStatus {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

func (d *Device) setStatus(s SyncStatus) {
	d.mu.Lock()
	d.status = s
	d.mu.Unlock()
	if d.opts.OnSyncStatus != nil {
		d.opts.OnSyncStatus(s)
	}
}
