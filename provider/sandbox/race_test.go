package sandbox_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"carillon/provider/sandbox"
)

// Everything at once, for the race detector; in the end nothing is lost.
func TestManyAtOnce(t *testing.T) {
	r := start(t, sandbox.Config{})
	r.apns("/3/device/"+sandbox.NewAddress(sandbox.APNs, "warm"), alert) // a cold burst is refused, as by Apple
	r.Script(sandbox.Fault{Delay: time.Millisecond, Times: 50}, sandbox.Fault{Hold: true, Times: 5})
	bearer, wtok := r.token(), r.wnsToken()
	var senders, lookers sync.WaitGroup
	stop := make(chan struct{})
	lookers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			r.Unscript()
			r.Script(sandbox.Fault{Delay: time.Microsecond, Times: 10}, sandbox.Fault{Hold: true, Times: 1})
			_, _, _ = r.Counts(), r.Devices(), r.Tray(sandbox.NewAddress(sandbox.APNs, "1"))
		}
	})
	const n, each = 8, 50
	for i := range n {
		senders.Go(func() {
			for j := range each {
				body := fmt.Appendf(nil, `{"aps":{"alert":"x"},"carillon":{"id":"%d-%d"}}`, i, j)
				a, err := r.try(r.client, "https://api.push.apple.com/3/device/"+sandbox.NewAddress(sandbox.APNs, strconv.Itoa(i)), body,
					"authorization", bearer, "apns-topic", "com.example.app", "apns-push-type", "alert")
				if err != nil || a.status != 200 {
					t.Error(a, err)
				}
				a, err = r.try(r.http1, sandbox.NewAddress(sandbox.WNS, strconv.Itoa(i)), []byte(toastXML),
					"Authorization", wtok, "X-WNS-Type", "wns/toast", "Content-Type", "text/xml")
				if err != nil || a.status != 200 {
					t.Error(a, err)
				}
			}
		})
	}
	senders.Wait()
	close(stop)
	lookers.Wait()
	r.Unscript()
	if c := r.Counts(); c.Accepted != 2*n*each+1 || len(r.Received()) != n*each+1 {
		t.Errorf("%+v, %d ids", c, len(r.Received()))
	}
}
