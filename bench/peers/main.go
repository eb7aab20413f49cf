// Command peers drives what others use for the same job against the same
// sandbox, with settings from their own advice. It is a module of its own, so
// that the gateway does not depend on them.
//
// apns2: one client, token authentication, pushes from as many goroutines as
// there are pushes in flight (its README: "apns2.Client is safe for concurrent
// use; send from many goroutines, one client a core").
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"
	"golang.org/x/net/http2"
)

// result is what a run prints as JSON.
type result struct {
	Pushes    int64   `json:"pushes"`
	Failed    int64   `json:"failed"`
	Seconds   float64 `json:"seconds"`
	CPUMicros float64 `json:"cpuMicrosPerPush"`
}

func main() {
	host := flag.String("host", "", "base URL of the APNs sandbox")
	ca := flag.String("ca", "", "CA file")
	key := flag.String("key", "", ".p8 file")
	keyID := flag.String("key-id", "", "key id")
	team := flag.String("team", "", "team id")
	n := flag.Int64("n", 100_000, "pushes")
	inFlight := flag.Int("c", 256, "pushes in flight, over all clients")
	clients := flag.Int("clients", runtime.GOMAXPROCS(0), "clients (its author advises one a core)")
	size := flag.Int("size", 230, "bytes of the payload")
	flag.Parse()
	if err := run(*host, *ca, *key, *keyID, *team, *n, *inFlight, *clients, *size); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(host, ca, key, keyID, team string, n int64, inFlight, clients, size int) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	auth, err := token.AuthKeyFromFile(key)
	if err != nil {
		return err
	}
	tok := &token.Token{AuthKey: auth, KeyID: keyID, TeamID: team}
	var cs []*apns2.Client
	for range clients {
		c := apns2.NewTokenClient(tok)
		c.Host = host
		c.HTTPClient.Transport.(*http2.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
		cs = append(cs, c)
	}
	payload := make([]byte, 0, size)
	payload = append(payload, `{"aps":{"alert":{"title":"Dinner is ready","body":"`...)
	for len(payload) < size-4 {
		payload = append(payload, 'x')
	}
	payload = append(payload, `"}}}`...)

	// A push on each connection first, as the vendor asks for; it is not counted.
	for _, c := range cs {
		if _, err := c.Push(push(0, payload)); err != nil {
			return err
		}
	}
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	cpu, began := cpuTime(), time.Now()
	for i := range inFlight {
		wg.Go(func() {
			c := cs[i%len(cs)]
			for {
				k := next.Add(1)
				if k > n {
					return
				}
				if res, err := c.Push(push(k, payload)); err != nil || !res.Sent() {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	return json.NewEncoder(os.Stdout).Encode(result{
		Pushes: n, Failed: failed.Load(), Seconds: took.Seconds(),
		CPUMicros: float64((cpuTime() - cpu).Microseconds()) / float64(n),
	})
}

func push(k int64, payload []byte) *apns2.Notification {
	return &apns2.Notification{
		DeviceToken: fmt.Sprintf("%064x", k), ApnsID: fmt.Sprintf("00000000-0000-4000-8000-%012x", k),
		Topic: "com.example.bench", PushType: apns2.PushTypeAlert, Priority: apns2.PriorityHigh, Payload: payload,
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
