package carillon

import (
	"slices"
	"strings"
)

// PushTypes lists Apple's push types that have device tokens, and hence a topic,
// of their own ("Sending notification requests to APNs"). Alert and background
// go to the app's plain token; mdm belongs to no app.
func PushTypes() []string {
	return []string{"voip", "pushtotalk", "liveactivity", "widgets", "controls", "complication", "location", "fileprovider"}
}

// pushTypeSuffix is what a push type adds to the bundle id.
func pushTypeSuffix(pushType string) string {
	switch pushType {
	case "voip":
		return ".voip"
	case "pushtotalk":
		return ".voip-ptt"
	case "liveactivity":
		return ".push-type.liveactivity"
	case "widgets":
		return ".push-type.widgets"
	case "controls":
		return ".push-type.controls"
	case "complication":
		return ".complication"
	case "location":
		return ".location-query"
	case "fileprovider":
		return ".pushkit.fileprovider"
	}
	return ""
}

// PushType finds the push type of an iOS endpoint's appId: that of its suffix,
// when what is left is one of the app's bundle ids; else "". A bundle id may
// itself end in .voip.
func PushType(appID string, bundles []string) string {
	if len(bundles) == 0 || slices.Contains(bundles, appID) {
		return ""
	}
	for _, t := range PushTypes() {
		if bundle, ok := strings.CutSuffix(appID, pushTypeSuffix(t)); ok && slices.Contains(bundles, bundle) {
			return t
		}
	}
	return ""
}
