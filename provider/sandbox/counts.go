package sandbox

import (
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
)

// Counts is what the servers saw since they started.
type Counts struct {
	// Requests is every push request; Accepted those answered 2xx, or taken and
	// not answered because a script said so.
	Requests    int64               `json:"requests"`
	Accepted    int64               `json:"accepted"`
	Rejected    int64               `json:"rejected"`
	Connections int64               `json:"connections"`
	Devices     int64               `json:"devices"`
	Duplicates  int64               `json:"duplicates"`
	Tokens      int64               `json:"tokens"` // access tokens issued
	Vendors     map[Vendor]Vendored `json:"vendors"`
}

// Vendored is one vendor's part of [Counts].
type Vendored struct {
	Requests int64 `json:"requests"`
	Accepted int64 `json:"accepted"`
	// Rejected is by the vendor's reason.
	Rejected map[string]int64 `json:"rejected,omitempty"`
	// Connections is all ever opened, Open those open now.
	Connections int64 `json:"connections"`
	Open        int64 `json:"open"`
	// GoAways is the connections ended because the client broke the protocol.
	GoAways int64 `json:"goAways"`
	// Overruns is the streams beyond the limit that the client was told.
	Overruns int64 `json:"overruns"`
	// Devices is the distinct addresses, up to [Config.Devices].
	Devices int64 `json:"devices"`
	// Duplicates is the accepted pushes whose (address, notification, seq, kind)
	// was accepted before. Audited is how many pairs are remembered; Partial says
	// that more came than can be.
	Duplicates int64 `json:"duplicates"`
	Audited    int64 `json:"audited"`
	Partial    bool  `json:"partial,omitempty"`
}

const (
	maxAudited = 30 << 20 // pairs a vendor, in at most 512 MiB
	maxReasons = 256      // a script may invent reasons
)

type counts struct {
	seed    maphash.Seed
	tokens  atomic.Int64
	vendors map[Vendor]*vendorCounts // never changes
}

type vendorCounts struct {
	accepted, connections, open, goAways, overruns, duplicates atomic.Int64
	devices, audited                                           *hashSet

	mu       sync.Mutex
	rejected map[string]int64
}

func newCounts(devices int) *counts {
	c := &counts{seed: maphash.MakeSeed(), vendors: map[Vendor]*vendorCounts{}}
	for _, v := range []Vendor{APNs, FCM, WNS} {
		c.vendors[v] = &vendorCounts{
			devices: newHashSet(devices), audited: newHashSet(maxAudited), rejected: map[string]int64{},
		}
	}
	return c
}

func (c *counts) add(v Vendor, status int, reason string) {
	vc := c.vendors[v]
	if status < 300 {
		vc.accepted.Add(1)
		return
	}
	vc.mu.Lock()
	defer vc.mu.Unlock()
	if _, ok := vc.rejected[reason]; !ok && len(vc.rejected) >= maxReasons {
		reason = "other"
	}
	vc.rejected[reason]++
}

func (c *counts) device(v Vendor, hash uint64) { c.vendors[v].devices.add(hash) }

// audit counts the pair, and whether it was there before.
func (c *counts) audit(v Vendor, device uint64, apnsID string, body []byte) {
	var buf [256]byte
	key := auditKey(buf[:0], apnsID, body)
	vc := c.vendors[v]
	if vc.audited.add(c.pair(device, key)) == seen {
		vc.duplicates.Add(1)
	}
}

// Counts adds up what was seen until now.
func (s *Server) Counts() Counts {
	out := Counts{Tokens: s.counts.tokens.Load(), Vendors: map[Vendor]Vendored{}}
	for v, vc := range s.counts.vendors {
		one := Vendored{
			Accepted: vc.accepted.Load(), Connections: vc.connections.Load(), Open: vc.open.Load(),
			GoAways: vc.goAways.Load(), Overruns: vc.overruns.Load(), Duplicates: vc.duplicates.Load(),
			Devices: vc.devices.len(), Audited: vc.audited.len(), Partial: vc.audited.full(),
		}
		vc.mu.Lock()
		one.Rejected = maps.Clone(vc.rejected)
		vc.mu.Unlock()
		one.Requests = one.Accepted
		for _, n := range one.Rejected {
			one.Requests += n
		}
		out.Requests += one.Requests
		out.Accepted += one.Accepted
		out.Rejected += one.Requests - one.Accepted
		out.Connections += one.Connections
		out.Devices += one.Devices
		out.Duplicates += one.Duplicates
		out.Vendors[v] = one
	}
	return out
}

func (c *counts) hash(s string) uint64 { return maphash.String(c.seed, s) }

func (c *counts) pair(device uint64, key []byte) uint64 {
	return maphash.Bytes(c.seed, key) ^ (device*0x9e3779b97f4a7c15 | 1)
}
