package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2"
)

// transportClient is net/http's client over x/net's HTTP/2 transport: what a
// sender writes who needs no library.
type transportClient struct {
	client              *http.Client
	url, bearer, expiry string
}

func newTransport(s settings) transportClient {
	t := &http2.Transport{TLSClientConfig: s.trust, StrictMaxConcurrentStreams: true, DisableCompression: true}
	return transportClient{
		client: &http.Client{Transport: t}, url: s.host + "/3/device/", bearer: "bearer " + s.token.GenerateIfExpired(),
		expiry: strconv.FormatInt(time.Now().Add(24*time.Hour).Unix(), 10),
	}
}

func (c transportClient) push(k int64, payload []byte) (bool, error) {
	req, err := http.NewRequest(http.MethodPost, c.url+address(k), bytes.NewReader(payload))
	if err != nil {
		return false, err
	}
	one := id(k)
	req.Header = http.Header{
		"Authorization": {c.bearer}, "Apns-Topic": {topic}, "Apns-Push-Type": {"alert"}, "Apns-Priority": {"10"},
		"Apns-Id": {one}, "Apns-Expiration": {c.expiry}, "Apns-Collapse-Id": {one},
	}
	res, err := c.client.Do(req)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK, errors.Join(err, res.Body.Close())
}
