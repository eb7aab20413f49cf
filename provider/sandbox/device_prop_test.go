package sandbox

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever happens to a device, in whatever order: each push has one fate, what was
// delivered was so once and in order, and no vendor keeps more than it does.
func TestEveryPushHasOneFate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom([]Vendor{APNs, FCM, WNS}).Draw(t, "vendor")
		d := newDevices(10_000)
		d.rules = func(v Vendor) Conduct { return VendorConduct(v, Strict) }
		now := time.Unix(1_800_000_000, 0)
		s := &Server{cfg: Config{Now: func() time.Time { return now }}, devices: d}
		address := NewAddress(v, "x")
		key := deviceKey(address)
		sent := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				m := message{
					address: key, display: address, mark: mark{id: fmt.Sprint(sent)}, key: fmt.Sprint(sent),
					kind:  rapid.SampledFrom([]string{"alert", "background"}).Draw(t, "kind"),
					slot:  rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f"}).Draw(t, "slot"),
					once:  rapid.Bool().Draw(t, "once"),
					shows: true,
				}
				if v != FCM && m.slot == "" {
					m.slot = "a"
				}
				if ttl := rapid.IntRange(0, 120).Draw(t, "ttl"); ttl > 0 && !m.once {
					m.expires = now.Add(time.Duration(ttl) * time.Minute)
				}
				d.record(&request{vendor: v}, &m, &reply{status: 200}, now)
				sent++
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			},
			"switch": func(t *rapid.T) { s.SetOffline(address, rapid.Bool().Draw(t, "offline")) },
			"": func(t *rapid.T) {
				dev, _ := s.Device(address)
				held, orders, keyed, others := 0, map[int]bool{}, map[string]int{}, 0
				for i, in := range s.Inbox(address) {
					if in.NotificationID != fmt.Sprint(i) {
						t.Fatalf("%d: %+v", i, in)
					}
					if got := in.Order > 0; got != (in.Fate == Delivered) || got == in.DeliveredAt.IsZero() || in.DeliveredAt.After(now) || got && in.DeliveredAt.Before(in.At) {
						t.Fatalf("%+v", in)
					}
					if in.Fate == Held {
						held++
					}
					if in.Order > 0 {
						orders[in.Order] = true
					}
				}
				if held != dev.Held || len(orders) != dev.Delivered || dev.Delivered > 0 && !orders[dev.Delivered] || dev.Accepted != sent {
					t.Fatalf("%d held, %d orders, %+v", held, len(orders), dev)
				}
				if one := d.byKey[key]; one != nil {
					for _, h := range one.held {
						if h.slot == "" {
							others++
						} else if keyed[h.slot]++; keyed[h.slot] > 1 {
							t.Fatalf("%q is kept twice", h.slot)
						}
					}
				}
				if v == FCM && (len(keyed) > maxCollapse || others > maxStored) {
					t.Fatalf("%v, %d others are kept", keyed, others)
				}
			},
		})
		s.SetOffline(address, false)
		now = now.Add(40 * 24 * time.Hour)
		if dev, _ := s.Device(address); dev.Held != 0 {
			t.Fatalf("still kept: %+v", dev)
		}
	})
}
