package client

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// mark is what every push of Carillon's carries.
type mark struct {
	ID, Kind   string
	Version    uint64
	Raw, Group string
	IDs        []string
}

// seen is the newest that is known of a notification, and by which kind of push;
// "full" when the feed told.
type seen struct {
	V    uint64 `json:"v"`
	Kind string `json:"k"`
}

const (
	full = "full"
	// maxSeen bounds the notifications that repeats are known of.
	maxSeen = 1000
)

// parsePush finds the mark in a push as the platform's callback gives it: an APNs
// userInfo or a WNS raw push (JSON with "carillon"), an FCM message or its data
// (JSON with "carillon_id"), a toast's XML or its launch argument.
func parsePush(payload []byte) (m mark, ours bool) {
	payload = bytes.TrimSpace(payload)
	switch {
	case bytes.HasPrefix(payload, []byte("{")):
		return parseJSON(payload)
	case bytes.HasPrefix(payload, []byte("<")):
		var toast struct {
			Launch string `xml:"launch,attr"`
		}
		if xml.Unmarshal(payload, &toast) != nil {
			return m, false
		}
		return parseLaunch(toast.Launch)
	}
	return parseLaunch(string(payload))
}

func parseLaunch(s string) (m mark, ours bool) {
	query, ok := strings.CutPrefix(s, "carillon?")
	v, err := url.ParseQuery(query)
	if !ok || err != nil {
		return m, false
	}
	return checked(mark{ID: v.Get("id"), Kind: v.Get("k"), Raw: v.Get("raw"), Group: v.Get("group")}, v.Get("v"))
}

func parseJSON(payload []byte) (m mark, ours bool) {
	var in struct {
		Carillon *struct {
			ID, V, K, Raw, Group string
			IDs                  []string
		} `json:"carillon"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(payload, &in) != nil {
		return m, false
	}
	if c := in.Carillon; c != nil {
		return checked(mark{ID: c.ID, Kind: c.K, Raw: c.Raw, Group: c.Group, IDs: c.IDs}, c.V)
	}
	var data map[string]any
	for _, b := range [][]byte{payload, in.Data} {
		if json.Unmarshal(b, &data) != nil {
			continue
		}
		text := func(name string) string { s, _ := data["carillon_"+name].(string); return s }
		if text("id") == "" {
			continue
		}
		m = mark{ID: text("id"), Kind: text("kind"), Raw: text("raw"), Group: text("group")}
		if ids := text("ids"); ids != "" {
			m.IDs = strings.Split(ids, ",")
		}
		return checked(m, text("v"))
	}
	return m, false
}

func checked(m mark, version string) (mark, bool) {
	v, err := strconv.ParseUint(version, 10, 64)
	m.Version = v
	return m, err == nil && m.ID != "" && m.Kind != ""
}

// carries tells whether the push brings its content: nothing need be fetched.
func (m *mark) carries() bool {
	return m.Kind == "alert" || m.Kind == "data" || m.Kind == "fallback"
}

// ProcessPush takes a push as it came. Ours is false for those of others. A push
// that carries its content gives one change without a call; a tap or a clear
// gives what changed since the last time, which is fetched and then saved.
// Repeats, and pushes older than what is known, give nothing. When fetching fails
// a clear still gives what it names itself, as Cleared, beside the error; the
// next push or [Device.Sync] fetches again. Give it every push; then
// [Change.Decide] each change.
func (d *Device) ProcessPush(ctx context.Context, payload []byte) (ours bool, changes []Change, err error) {
	m, ours := parsePush(payload)
	if !ours {
		return false, nil, nil
	}
	if err := d.take(ctx); err != nil {
		return true, nil, err
	}
	defer d.leave()
	k, err := d.load(ctx)
	if err != nil {
		return true, nil, err
	}
	if s, ok := k.Seen[m.ID]; ok && (m.Version < s.V || m.Version == s.V && (s.Kind == m.Kind || s.Kind == full)) {
		return true, nil, nil
	}
	if m.carries() {
		it := &Item{ID: m.ID, Status: "Active", UserActionState: NoInteraction}
		it.TargetHostName, it.Payload.RawContent, it.GroupName = d.opts.Host, m.Raw, m.Group
		err := d.save(ctx, func(k *kept) { k.note(m.ID, seen{m.Version, m.Kind}) })
		return true, []Change{{Kind: Changed, ID: m.ID, Item: it, Partial: true}}, err
	}
	changes, err = d.sync(ctx, &k, &m)
	if err != nil && m.Kind == "clear" {
		ids := m.IDs
		if len(ids) == 0 {
			ids = []string{m.ID}
		}
		for _, id := range ids {
			changes = append(changes, Change{Kind: Cleared, ID: id})
		}
	}
	return true, changes, err
}

// Sync fetches what changed since the last time. Do so when the app is opened:
// no platform promises its silent pushes.
func (d *Device) Sync(ctx context.Context) ([]Change, error) {
	if err := d.take(ctx); err != nil {
		return nil, err
	}
	defer d.leave()
	k, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	return d.sync(ctx, &k, nil)
}

func (d *Device) take(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Device) leave() { <-d.turn }

// sync reads the feed to its end and saves where that is, with what the push
// told. Nothing is given when it cannot be saved: it comes again.
func (d *Device) sync(ctx context.Context, k *kept, m *mark) (out []Change, err error) {
	d.setStatus(Queued)
	defer d.setStatus(Synchronized)
	r := d.Reader(ReaderOptions{})
	if k.Reader != "" {
		if r, err = d.ReaderWithState(k.Reader); err != nil {
			return nil, err
		}
	}
	if out, err = r.rest(ctx); err != nil {
		return nil, err
	}
	out = k.fresh(out)
	err = d.save(ctx, func(k *kept) {
		k.Reader = r.State()
		for _, c := range out {
			if c.Kind == Changed {
				k.note(c.ID, seen{c.Item.version(), full})
			}
		}
		if m != nil {
			if s, ok := k.Seen[m.ID]; !ok || s.V < m.Version {
				k.note(m.ID, seen{m.Version, m.Kind})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	if len(out) > 0 && d.opts.OnChange != nil {
		d.opts.OnChange(out)
	}
	return out, nil
}

// rest is everything that the reader has still to read; it begins anew, once,
// when its place is not kept any more.
func (r *Reader) rest(ctx context.Context) (out []Change, err error) {
	for anew := false; ; {
		batch, err := r.ReadBatch(ctx, maxSeen)
		switch {
		case Expired(err) && !anew:
			anew, out = true, nil
		case err != nil:
			return nil, err
		case len(batch) == 0:
			return out, nil
		}
		out = append(out, batch...)
	}
}

// fresh leaves out what the feed told before, in this sync or an earlier one.
func (k *kept) fresh(changes []Change) []Change {
	now := map[string]uint64{}
	return slices.DeleteFunc(changes, func(c Change) bool {
		if c.Kind != Changed {
			return false
		}
		v := c.Item.version()
		s, old := k.Seen[c.ID]
		had, again := now[c.ID]
		now[c.ID] = v
		return old && s.Kind == full && v <= s.V || again && v <= had
	})
}

// note remembers, and forgets the oldest beyond maxSeen. Others may read the old
// map and list: both are made anew.
func (k *kept) note(id string, s seen) {
	next := maps.Clone(k.Seen)
	if next == nil {
		next = map[string]seen{}
	}
	order := slices.DeleteFunc(slices.Clone(k.Order), func(old string) bool { return old == id })
	order = append(order, id)
	next[id] = s
	for len(order) > maxSeen {
		delete(next, order[0])
		order = order[1:]
	}
	k.Seen, k.Order = next, order
}
