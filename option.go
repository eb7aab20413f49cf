package carillon

// OptionForm is what the value of a platform option may be.
type OptionForm uint8

// The forms. Null stands for "not given", and says "none" where an option has a
// default.
const (
	OptionText      OptionForm = iota // a string of at most Max bytes, or one of OneOf; with Members also an object
	OptionFlag                        // true or false
	OptionInteger                     // a whole number, Min … Max
	OptionNumber                      // a number, Min … Max
	OptionTexts                       // an array of strings
	OptionURI                         // an absolute URI
	OptionColor                       // "#rrggbb"
	OptionDuration                    // seconds as protobuf writes them: "1.5s"
	OptionDurations                   // an array of those
	OptionTime                        // a time of RFC 3339
	OptionLabel                       // 1 … 50 of letters, digits and -_.~%
	OptionToken                       // 1 … Max letters, digits and -_.
	OptionObject                      // an object with Members; of any content when there are none
	OptionObjects                     // an array of 1 … Max objects with Members
)

// Option is one member of platformOptions.apns, .fcm or .wns: what a sender may
// say, and nothing else (contract 6.1). Docs/platform-options.md explains them.
type Option struct {
	Name     string
	Form     OptionForm
	Required bool // among Members
	Min, Max float64
	OneOf    []string
	Members  []Option
}

// maxSeconds is the longest ttl that a vendor takes: FCM's and Apple's 30 days
// are cut to what is left of the notification's life anyway.
const maxSeconds = 30 * 24 * 60 * 60

// APNsOptions lists platformOptions.apns, by Apple's own names where it has one
// ("Generating a remote notification").
func APNsOptions() []Option {
	return []Option{
		{Name: "sound", Max: 256, Members: []Option{
			{Name: "name", Required: true, Max: 256},
			{Name: "critical", Form: OptionInteger, Max: 1},
			{Name: "volume", Form: OptionNumber, Max: 1},
		}},
		{Name: "badge", Form: OptionInteger, Max: 1<<31 - 1},
		{Name: "category"},
		{Name: "thread-id"},
		{Name: "subtitle"},
		{Name: "interruption-level", OneOf: []string{"passive", "active", "time-sensitive", "critical"}},
		{Name: "relevance-score", Form: OptionNumber, Max: 1000}, // 0 … 1 for alerts, more for Live Activities
		{Name: "mutable-content", Form: OptionInteger, Max: 1},
		{Name: "content-available", Form: OptionInteger, Max: 1},
		{Name: "target-content-id"},
		{Name: "filter-criteria"},
		{Name: "launch-image"},
		{Name: "title-loc-key"},
		{Name: "title-loc-args", Form: OptionTexts},
		{Name: "subtitle-loc-key"},
		{Name: "subtitle-loc-args", Form: OptionTexts},
		{Name: "loc-key"},
		{Name: "loc-args", Form: OptionTexts},
		{Name: "priority", Form: OptionInteger, OneOf: []string{"1", "5", "10"}, Max: 10},
		{Name: "ttl", Form: OptionInteger, Max: maxSeconds},
		{Name: "push-type", OneOf: append([]string{"alert"}, PushTypes()...)},
		{Name: "event", OneOf: []string{"start", "update", "end"}},
		{Name: "content-state", Form: OptionObject},
		{Name: "attributes-type", Max: 256},
		{Name: "attributes", Form: OptionObject},
		{Name: "stale-date", Form: OptionInteger, Max: 1 << 40},
		{Name: "dismissal-date", Form: OptionInteger, Max: 1 << 40},
		{Name: "input-push-token", Form: OptionInteger, Min: 1, Max: 1},
		{Name: "input-push-channel", Max: 256},
	}
}

// FCMOptions lists platformOptions.fcm, by the names of FCM v1's AndroidConfig
// and AndroidNotification. Ttl is a number of seconds here, as everywhere.
func FCMOptions() []Option {
	return []Option{
		{Name: "channelId"},
		{Name: "icon"},
		{Name: "color", Form: OptionColor},
		{Name: "sound"},
		{Name: "image", Form: OptionURI},
		{Name: "clickAction"},
		{Name: "ticker"},
		{Name: "titleLocKey"},
		{Name: "titleLocArgs", Form: OptionTexts},
		{Name: "bodyLocKey"},
		{Name: "bodyLocArgs", Form: OptionTexts},
		{Name: "sticky", Form: OptionFlag},
		{Name: "localOnly", Form: OptionFlag},
		{Name: "eventTime", Form: OptionTime},
		{Name: "notificationPriority", OneOf: []string{"PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"}},
		{Name: "visibility", OneOf: []string{"PRIVATE", "PUBLIC", "SECRET"}},
		{Name: "proxy", OneOf: []string{"ALLOW", "DENY", "IF_PRIORITY_LOWERED"}},
		{Name: "defaultSound", Form: OptionFlag},
		{Name: "defaultVibrateTimings", Form: OptionFlag},
		{Name: "vibrateTimings", Form: OptionDurations},
		{Name: "defaultLightSettings", Form: OptionFlag},
		{Name: "lightSettings", Form: OptionObject, Members: []Option{
			{Name: "color", Form: OptionObject, Required: true, Members: []Option{
				{Name: "red", Form: OptionNumber, Max: 1},
				{Name: "green", Form: OptionNumber, Max: 1},
				{Name: "blue", Form: OptionNumber, Max: 1},
				{Name: "alpha", Form: OptionNumber, Max: 1},
			}},
			{Name: "lightOnDuration", Form: OptionDuration, Required: true},
			{Name: "lightOffDuration", Form: OptionDuration, Required: true},
		}},
		{Name: "notificationCount", Form: OptionInteger, Max: 1<<31 - 1},
		{Name: "priority", OneOf: []string{"NORMAL", "HIGH"}},
		{Name: "ttl", Form: OptionInteger, Max: maxSeconds},
		{Name: "analyticsLabel", Form: OptionLabel},
		{Name: "directBootOk", Form: OptionFlag},
		{Name: "bandwidthConstrainedOk", Form: OptionFlag},
		{Name: "restrictedSatelliteOk", Form: OptionFlag},
	}
}

// WNSOptions lists platformOptions.wns, after the toast schema and the request
// headers of WNS.
func WNSOptions() []Option {
	return []Option{
		{Name: "scenario", OneOf: []string{"reminder", "alarm", "incomingCall", "urgent"}},
		{Name: "duration", OneOf: []string{"long", "short"}},
		{Name: "sound"},
		{Name: "soundLoop", Form: OptionFlag},
		{Name: "image"},
		{Name: "imageCrop", OneOf: []string{"circle"}},
		{Name: "hero"},
		{Name: "inlineImage"},
		{Name: "attribution"},
		{Name: "displayTimestamp", Form: OptionTime},
		{Name: "useButtonStyle", Form: OptionFlag},
		{Name: "launch"},
		{Name: "header", Form: OptionObject, Members: []Option{
			{Name: "id", Required: true}, {Name: "title", Required: true}, {Name: "arguments", Required: true},
		}},
		{Name: "inputs", Form: OptionObjects, Max: 5, Members: []Option{
			{Name: "id", Required: true},
			{Name: "type", Required: true, OneOf: []string{"text", "selection"}},
			{Name: "title"},
			{Name: "placeHolderContent"},
			{Name: "defaultInput"},
			{Name: "selections", Form: OptionObjects, Max: 5, Members: []Option{{Name: "id", Required: true}, {Name: "content", Required: true}}},
		}},
		{Name: "actions", Form: OptionObjects, Max: 5, Members: []Option{
			{Name: "content", Required: true},
			{Name: "arguments", Required: true},
			{Name: "activationType", OneOf: []string{"foreground", "background", "protocol", "system"}},
			{Name: "imageUri"},
			{Name: "placement", OneOf: []string{"contextMenu"}},
			{Name: "inputId"},
			{Name: "buttonStyle", OneOf: []string{"Success", "Critical"}},
			{Name: "toolTip"},
		}},
		{Name: "collectionId", Form: OptionToken, Max: 64},
		{Name: "cachePolicy", OneOf: []string{"cache", "no-cache"}},
		{Name: "priority", Form: OptionInteger, Min: 1, Max: 4},
		{Name: "ttl", Form: OptionInteger, Max: maxSeconds},
	}
}
