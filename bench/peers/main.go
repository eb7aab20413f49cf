// Command peers drives what others use for the same job against the same
// sandbox, with settings from their own advice. It is a module of its own, so
// that the gateway does not depend on them.
//
//   - apns2: one client a connection, pushes from as many goroutines as there
//     are pushes in flight (its README: "apns2.Client is safe for concurrent
//     use; send from many goroutines, one client a core").
//   - http2: golang.org/x/net/http2's Transport under net/http's Client, the
//     same way; StrictMaxConcurrentStreams keeps it to one connection.
//   - pushy/ holds the same loop for Java's Pushy.
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

	"github.com/sideshow/apns2/token"
)

// result is what a run prints as JSON.
type result struct {
	Pushes    int64   `json:"pushes"`
	Failed    int64   `json:"failed"`
	Seconds   float64 `json:"seconds"`
	CPUMicros float64 `json:"cpuMicrosPerPush"`
}

// pusher sends one push over one connection and waits for its answer.
type pusher interface {
	push(k int64, payload []byte) (accepted bool, err error)
}

// settings say where to push and as whom.
type settings struct {
	host  string
	trust *tls.Config
	token *token.Token
}

func main() {
	client := flag.String("client", "apns2", "apns2 or http2")
	host := flag.String("host", "", "base URL of the server")
	ca := flag.String("ca", "", "CA file")
	key := flag.String("key", "", ".p8 file")
	keyID := flag.String("key-id", "", "key id")
	team := flag.String("team", "", "team id")
	n := flag.Int64("n", 100_000, "pushes")
	warmup := flag.Int64("warmup", 0, "pushes before that are not measured")
	inFlight := flag.Int("c", 256, "pushes in flight, over all connections")
	conns := flag.Int("connections", runtime.GOMAXPROCS(0), "connections, a client each (apns2's author advises one a core)")
	size := flag.Int("size", 230, "bytes of the payload")
	flag.Parse()
	s, err := load(*host, *ca, *key, *keyID, *team)
	if err == nil {
		err = run(*client, s, *n, *warmup, *inFlight, *conns, *size)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func load(host, ca, key, keyID, team string) (settings, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return settings{}, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	auth, err := token.AuthKeyFromFile(key)
	if err != nil {
		return settings{}, err
	}
	return settings{host, &tls.Config{RootCAs: pool}, &token.Token{AuthKey: auth, KeyID: keyID, TeamID: team}}, nil
}

func run(client string, s settings, n, warmup int64, inFlight, conns, size int) error {
	var ps []pusher
	for range conns {
		switch client {
		case "apns2":
			ps = append(ps, newAPNs2(s))
		case "http2":
			ps = append(ps, newTransport(s))
		default:
			return fmt.Errorf("-client is apns2 or http2, not %q", client)
		}
	}
	payload := make([]byte, 0, size)
	payload = append(payload, `{"aps":{"alert":{"title":"Dinner is ready","body":"`...)
	for len(payload) < size-4 {
		payload = append(payload, 'x')
	}
	payload = append(payload, `"}}}`...)

	// A push on each connection first, as the vendor asks for; it is not counted.
	for _, p := range ps {
		if _, err := p.push(0, payload); err != nil {
			return err
		}
	}
	loop(ps, 0, warmup, inFlight, payload)
	cpu, began := cpuTime(), time.Now()
	failed := loop(ps, warmup, n, inFlight, payload)
	took := time.Since(began)
	return json.NewEncoder(os.Stdout).Encode(result{
		Pushes: n, Failed: failed, Seconds: took.Seconds(),
		CPUMicros: float64((cpuTime() - cpu).Nanoseconds()) / float64(n) / 1e3,
	})
}

// loop sends pushes with the numbers from+1 … from+n and returns how many failed.
func loop(ps []pusher, from, n int64, inFlight int, payload []byte) int64 {
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for i := range inFlight {
		wg.Go(func() {
			p := ps[i%len(ps)]
			for {
				k := next.Add(1)
				if k > n {
					return
				}
				if ok, err := p.push(from+k, payload); err != nil || !ok {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return failed.Load()
}

const topic = "com.example.bench"

// address and id differ for each push. Spreading the bits keeps compression of
// header fields honest.
func address(k int64) string { return fmt.Sprintf("%032x%032x", uint64(k)*0x9e3779b97f4a7c15, k+1) }

func id(k int64) string {
	h := uint64(k) * 0x9e3779b97f4a7c15
	return fmt.Sprintf("%08x-%04x-4%03x-8000-%012x", h>>32, h>>16&0xffff, h&0xfff, k)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
