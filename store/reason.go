package store

// reasonCount is how many codes are given out.
const reasonCount = 45

// reasons are the common reasons of outcomes: rows hold the place in this list,
// one byte, and write others out. Places are pinned: never change, move or
// remove one, only append (to 256 at most).
func reasons() [reasonCount]string {
	return [reasonCount]string{
		"", // written out
		// APNs (developer.apple.com, "Handling notification responses from APNs")
		"BadDeviceToken", "Unregistered", "DeviceTokenNotForTopic", "ExpiredToken", "PayloadTooLarge",
		"TooManyRequests", "InternalServerError", "ServiceUnavailable", "Shutdown",
		"ExpiredProviderToken", "InvalidProviderToken", "TopicDisallowed", "BadTopic",
		// FCM (firebase.google.com, "ErrorCode")
		"UNREGISTERED", "INVALID_ARGUMENT", "SENDER_ID_MISMATCH", "QUOTA_EXCEEDED", "UNAVAILABLE",
		"INTERNAL", "THIRD_PARTY_AUTH_ERROR",
		// WNS (learn.microsoft.com, "X-WNS-Status")
		"dropped", "channelthrottled",
		// ours
		"gone", "expired", "replaced", "read", "dismissed", "deleted", "duplicate", "left",
		"noCredential", "invalidRequest", "connectionLost", "timeout", "notSent", "malformedAnswer",
		"unrecognized", "noAccessToken", "environmentMismatch", "storeLost",
		"activated", "evicted", "noPush", "cancelled",
	}
}

// reasonCode is the code of a reason, 0 when it has none.
func reasonCode(reason string) byte {
	for i, r := range reasons() {
		if r == reason {
			return byte(i)
		}
	}
	return 0
}

// reasonOf is the reason of a code.
func reasonOf(code byte) (reason string, ok bool) {
	if code == 0 || code >= reasonCount {
		return "", false
	}
	return reasons()[code], true
}
