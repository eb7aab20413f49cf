package main

import (
	"time"

	"github.com/sideshow/apns2"
	"golang.org/x/net/http2"
)

// apns2Client is one client of github.com/sideshow/apns2: one connection.
type apns2Client struct {
	client  *apns2.Client
	expires time.Time
}

func newAPNs2(s settings) apns2Client {
	c := apns2.NewTokenClient(s.token)
	c.Host = s.host
	c.HTTPClient.Transport.(*http2.Transport).TLSClientConfig = s.trust
	return apns2Client{c, time.Now().Add(24 * time.Hour)}
}

func (c apns2Client) push(k int64, payload []byte) (bool, error) {
	one := id(k)
	res, err := c.client.Push(&apns2.Notification{
		DeviceToken: address(k), ApnsID: one, CollapseID: one, Expiration: c.expires,
		Topic: topic, PushType: apns2.PushTypeAlert, Priority: apns2.PriorityHigh, Payload: payload,
	})
	return err == nil && res.Sent(), err
}
