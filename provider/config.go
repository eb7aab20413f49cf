package provider

import (
	"carillon/provider/apns"
	"carillon/provider/fcm"
	"carillon/provider/wns"
)

// Config says how to reach the vendors. The zero value is their own services.
type Config struct {
	APNs apns.Config `yaml:"apns"`
	FCM  fcm.Config  `yaml:"fcm"`
	WNS  wns.Config  `yaml:"wns"`
}
