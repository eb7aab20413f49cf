package sandbox_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/provider/sandbox"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if helper() {
		return
	}
	goleak.VerifyTestMain(m)
}

// rig is a running sandbox, its client and a clock to move.
type rig struct {
	*sandbox.Server
	t      *testing.T
	client *http.Client // HTTP/2 where it is offered; dials the sandbox whatever the host
	http1  *http.Client
	shift  atomic.Int64

	signing  sync.Mutex
	signed   string
	signedAt time.Time
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.shift.Load())) }

func start(t *testing.T, cfg sandbox.Config) *rig {
	t.Helper()
	r := &rig{t: t}
	cfg.Now = r.now
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r.client, r.http1 = r.newClient(true), r.newClient(false)
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		r.http1.CloseIdleConnections()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	return r
}

func (r *rig) tlsConfig(protos ...string) *tls.Config {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(r.CAPEM()) {
		r.t.Fatal("no CA")
	}
	return &tls.Config{RootCAs: pool, NextProtos: protos}
}

// newClient verifies the vendors' names and dials the sandbox in their place.
func (r *rig) newClient(h2 bool) *http.Client {
	a := r.Addrs()
	byHost := map[string]string{
		"api.push.apple.com:443": a.APNs, "api.sandbox.push.apple.com:443": a.APNs,
		"fcm.googleapis.com:443": a.FCM, "wns2-sbx.notify.windows.com:443": a.WNS,
		"oauth2.googleapis.com:443": a.Token, "login.live.com:443": a.Token, "login.microsoftonline.com:443": a.Token,
	}
	protos := new(http.Protocols)
	protos.SetHTTP1(true)
	protos.SetHTTP2(h2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: r.tlsConfig(), Protocols: protos, ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if to, ok := byHost[addr]; ok {
				addr = to
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
	}}
}

type answer struct {
	status int
	header http.Header
	body   string
	proto  int

	closing bool
}

func (r *rig) post(c *http.Client, address string, body []byte, headers ...string) answer {
	r.t.Helper()
	a, err := r.try(c, address, body, headers...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) try(c *http.Client, address string, body []byte, headers ...string) (answer, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	method := http.MethodPost
	var rd io.Reader = bytes.NewReader(body)
	var req *http.Request
	for i := 0; i < len(headers); i += 2 {
		switch headers[i] {
		case "method":
			method = headers[i+1]
		case "chunked":
			rd = struct{ io.Reader }{rd}
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, rd)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] != "method" && headers[i] != "chunked" && headers[i+1] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), res.ProtoMajor, res.Close}, err
}

// token is the APNs provider token in use: a connection must stay with one.
func (r *rig) token() string {
	r.t.Helper()
	r.signing.Lock()
	defer r.signing.Unlock()
	if now := r.now(); r.signed == "" || now.Sub(r.signedAt) > 25*time.Minute {
		r.signed, r.signedAt = r.bearer(now), now
	}
	return r.signed
}

// bearer is a new APNs provider token.
func (r *rig) bearer(iat time.Time) string {
	r.t.Helper()
	c := r.Credentials().APNs
	key, err := jwt.ParseECPrivateKeyFromPEM(c.KeyPEM)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.sign(jwt.SigningMethodES256, key, c.KeyID, jwt.MapClaims{"iss": c.TeamID, "iat": iat.Unix()})
}

func (r *rig) sign(m jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	r.t.Helper()
	tok := jwt.NewWithClaims(m, claims)
	tok.Header["kid"] = kid
	s, err := tok.SignedString(key)
	if err != nil {
		r.t.Fatal(err)
	}
	return "bearer " + s
}

func (r *rig) assertion(change func(jwt.MapClaims)) string {
	r.t.Helper()
	var sa struct {
		PrivateKey  string `json:"private_key"`
		KeyID       string `json:"private_key_id"`
		ClientEmail string `json:"client_email"`
		TokenURI    string `json:"token_uri"`
	}
	if err := json.Unmarshal(r.Credentials().FCM.JSON, &sa); err != nil {
		r.t.Fatal(err)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(sa.PrivateKey))
	if err != nil {
		r.t.Fatal(err)
	}
	claims := jwt.MapClaims{
		"iss": sa.ClientEmail, "aud": sa.TokenURI, "scope": "https://www.googleapis.com/auth/firebase.messaging",
		"iat": r.now().Unix(), "exp": r.now().Add(time.Hour).Unix(),
	}
	if change != nil {
		change(claims)
	}
	return r.sign(jwt.SigningMethodRS256, key, sa.KeyID, claims)[len("bearer "):]
}

func (r *rig) form(address string, kv ...string) answer {
	r.t.Helper()
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return r.post(r.client, address, []byte(v.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

func (r *rig) accessToken(a answer) string {
	r.t.Helper()
	var o struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.body), &o); err != nil || a.status != 200 || o.AccessToken == "" {
		r.t.Fatalf("token: %d %s", a.status, a.body)
	}
	return "Bearer " + o.AccessToken
}

func (r *rig) fcmToken() string {
	r.t.Helper()
	return r.accessToken(r.form(r.Credentials().FCM.TokenURI,
		"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", r.assertion(nil)))
}

func (r *rig) wnsToken() string {
	r.t.Helper()
	c := r.Credentials().WNS
	return r.accessToken(r.form("https://login.live.com/accesstoken.srf", "grant_type", "client_credentials",
		"client_id", c.PackageSID, "client_secret", c.Secret, "scope", "notify.windows.com"))
}

// eventually waits for a condition that a goroutine of the server makes true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("never: " + what)
		}
	}
}
