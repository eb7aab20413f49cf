package bench_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carillon"
	"carillon/bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// foreign is net/http's own HTTP/2 server, which knows nothing of us. It notes
// what it got.
type foreign struct {
	*httptest.Server
	ca string

	mu        sync.Mutex
	addresses map[string]bool
	ids       map[string]bool
	conns     map[string]bool
	sizes     map[int]int
	protos    map[string]int
}

func newForeign(t *testing.T, answer int) *foreign {
	t.Helper()
	f := &foreign{
		addresses: map[string]bool{}, ids: map[string]bool{}, conns: map[string]bool{}, sizes: map[int]int{}, protos: map[string]int{},
	}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.note(r, string(body))
		w.WriteHeader(answer)
	}))
	f.EnableHTTP2 = true
	f.TLS = &tls.Config{Certificates: []tls.Certificate{f.certificate(t)}}
	f.StartTLS()
	t.Cleanup(f.Close)
	return f
}

// note keeps the address and id of a push: FCM has the address in the body,
// WNS the id.
func (f *foreign) note(r *http.Request, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	address := r.URL.String()
	if _, rest, ok := strings.Cut(body, `"token":"`); ok {
		address, _, _ = strings.Cut(rest, `"`)
	}
	_, id, _ := strings.Cut(body, "id")
	f.addresses[address], f.ids[id[:min(len(id), 42)]], f.conns[r.RemoteAddr] = true, true, true
	f.sizes[len(body)]++
	f.protos[r.Proto]++
}

// certificate is good for loopback and the bench's WNS host; its file is f.ca.
func (f *foreign) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"bench.notify.windows.com"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	f.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(f.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestPush: every push reaches a server that nobody here wrote, with an address
// and an id of its own, over as many connections as asked for.
func TestPush(t *testing.T) {
	for _, c := range []struct {
		platform carillon.Platform
		body     int
	}{{carillon.IOS, 230}, {carillon.Android, 600}, {carillon.Windows, 500}} {
		t.Run(c.platform.String(), func(t *testing.T) {
			f := newForeign(t, http.StatusOK)
			res, err := (&bench.Push{
				Platform: c.platform, Target: f.URL, CA: f.ca, Dir: t.TempDir(),
				Pushes: 600, Warmup: 200, InFlight: 100, Connections: 2, Body: c.body,
			}).Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if res.Pushes != 600 || res.Accepted != 600 || res.Opened != 2 || len(res.Refused) > 0 {
				t.Errorf("got %+v", res)
			}
			if res.PerSecond <= 0 || res.CPUMicros <= 0 || res.BytesPerPush < float64(c.body) || res.Latency.P50 <= 0 || res.Latency.Max < res.Latency.P99 {
				t.Errorf("figures are missing: %+v", res)
			}
			if len(f.addresses) != 800 || len(f.ids) != 800 || len(f.conns) != 2 || f.protos["HTTP/2.0"] != 800 {
				t.Errorf("the server saw %d addresses, %d ids, %d connections, %v", len(f.addresses), len(f.ids), len(f.conns), f.protos)
			}
			if f.sizes[c.body] != 800 {
				t.Errorf("payloads have %v bytes, want %d", f.sizes, c.body)
			}
		})
	}
}

// TestPushRefused: what a server does not accept is counted, not hidden.
func TestPushRefused(t *testing.T) {
	f := newForeign(t, http.StatusBadRequest)
	res, err := (&bench.Push{Platform: carillon.IOS, Target: f.URL, CA: f.ca, Dir: t.TempDir(), Pushes: 50, InFlight: 10}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Accepted != 0 || res.Refused["rejected unrecognized"] != 50 {
		t.Errorf("got %+v", res)
	}
}
