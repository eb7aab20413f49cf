package auth

// ReadContent is the decoder of a subscription id's content, for fuzzing behind
// the seal.
func ReadContent(b []byte) (Subscription, error) { return readSubscription(b) }

// AppendContent is its encoder.
func AppendContent(s Subscription) []byte { return appendSubscription(nil, s) }
