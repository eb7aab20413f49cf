package auth

// ReadContent is the decoder of a subscription id's content, for fuzzing behind
// the seal.
func ReadContent(b []byte) (Subscription, error) { return readSubscription(b) }

// AppendContent is its encoder.
func AppendContent(s Subscription) []byte { return appendSubscription(nil, s) }

// Held is how many bytes the cache of verified tokens holds, by its own count,
// after it took what it was given.
func (v *Verifier) Held() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	v.cache.Wait()
	return v.cfg.CacheBytes - v.cache.RemainingCost()
}
