//go:build acceptance

package acceptance_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestBadInput is every bad client that we know of against one gateway, which
// serves a good one all the while: each gets its clear answer, and what was
// answered 201 rings.
func TestBadInput(t *testing.T) {
	dir := workDir(t)
	keys := newIssuerKeys(t, dir)
	files(t, halves+1000) // the gateway inherits it
	s := serve(t, filepath.Join(dir, "data"), "--config", keys.config)
	p := s.person(t, "hostile")
	ios := p.register(t, "ios", "")
	var accepted []string
	for _, step := range []struct {
		name string
		play func(t *testing.T, s *site, p *person) (accepted []string)
	}{
		{"bodies", badBodies},
		{"encodings", encodings},
		{"bombs", bombs},
		{"tokens", keys.badTokens},
		{"channels", badChannels},
		{"smuggling", smuggling},
		{"pipelining", pipelining},
		{"half requests", halfRequests},
	} {
		t.Run(step.name, func(t *testing.T) { accepted = append(accepted, step.play(t, s, p)...) })
	}
	t.Run("nothing lost", func(t *testing.T) {
		p.fence(t, ios)
		var received []string
		if err := json.Unmarshal(fetch(t, s.http, s.ops+"/sandbox/received", "", "GET", nil).want(t, 200).text, &received); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d were accepted, %d rang, the fence among them", len(accepted), len(received))
		for _, id := range accepted {
			if !slices.Contains(received, id) {
				t.Errorf("%s was accepted and did not ring", id)
			}
		}
		if len(received) != len(accepted)+1 {
			t.Errorf("%d rang, %d were accepted beside the fence", len(received), len(accepted))
		}
	})
}

func badBodies(t *testing.T, s *site, p *person) []string {
	post := func(body any, headers ...string) *reply {
		return s.call(t, p.token, "POST", "/beta/me/notifications", body, headers...)
	}
	in31 := time.Now().AddDate(0, 0, 31).Format(time.RFC3339)
	post([]any{visual("x", "")}).refuses(t, 400, "array")
	post(map[string]any{"targetHostName": host}).refuses(t, 400, "payload")
	post(map[string]any{"targetHostName": host, "payload": map[string]any{}}).refuses(t, 400, "payload")
	post(visual("", "only a body")).refuses(t, 400, "payload.visualContent.title")
	post(with(visual("x", ""), map[string]any{"expirationDateTime": in31})).refuses(t, 400, "expirationDateTime", "30 days")
	post(with(visual("x", ""), map[string]any{"targetHostName": "other.example"})).refuses(t, 403, "targetHostName", "other.example")
	post(visual(strings.Repeat("x", 257), "")).refuses(t, 400, "payload.visualContent.title", "256")
	post(visual("x", strings.Repeat("x", 2049))).refuses(t, 400, "payload.visualContent.body", "2048")
	post(raw(strings.Repeat("x", 4097))).refuses(t, 400, "payload.rawContent", "4096")
	post(raw(strings.Repeat("x", 64<<10))).refuses(t, 413, "65536")
	post(visual("x", ""), "Content-Type", "text/plain").refuses(t, 415, "Content-Type")
	post(visual("x", ""), "If-Range", `"x"`).refuses(t, 400, "If-Range")
	post(visual("x", ""), "If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)).refuses(t, 400, "If-Modified-Since")
	toast := func(more map[string]any) map[string]any {
		f := map[string]any{"platformTypes": []string{"iOS"}, "fallbackDelayInSeconds": 60, "visualContent": map[string]any{"title": "late"}}
		maps.Copy(f, more)
		return with(raw("x"), map[string]any{"fallbackPolicy": map[string]any{"endpointFallback": f}})
	}
	const at = "fallbackPolicy.endpointFallback"
	post(toast(map[string]any{"fallbackDelayInSeconds": 59})).refuses(t, 400, at+".fallbackDelayInSeconds", "60", "600")
	post(toast(map[string]any{"fallbackDelayInSeconds": 601})).refuses(t, 400, at+".fallbackDelayInSeconds")
	post(toast(map[string]any{"fallbackDelayInSeconds": nil})).refuses(t, 400, at+".fallbackDelayInSeconds")
	post(toast(map[string]any{"platformTypes": []string{"iOS", "Android"}})).refuses(t, 400, at+".platformTypes")
	post(toast(map[string]any{"visualContent": map[string]any{"body": "x"}})).refuses(t, 400, at+".visualContent.title")
	post(with(toast(nil), map[string]any{"targetPolicy": map[string]any{"platformTypes": []string{"Windows"}}})).refuses(t, 400, "targetPolicy.platformTypes")
	r := post(visual("x", ""), "client-request-id", "mine-1").want(t, 201)
	if r.header.Get("client-request-id") != "mine-1" || r.header.Get("request-id") == "" {
		t.Errorf("headers %v", r.header)
	}
	return []string{r.str("id")}
}

// packed sends a body as it is, with its encoding named.
func packed(t *testing.T, s *site, token, path, encoding string, body []byte) *reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Encoding", encoding)
	res, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r := &reply{status: res.StatusCode, header: res.Header}
	r.text, _ = io.ReadAll(res.Body)
	_ = json.Unmarshal(r.text, &r.body)
	return r
}

func squeezed(t *testing.T, encoding string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		w, _ = flate.NewWriter(&b, flate.BestCompression)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodings(t *testing.T, s *site, p *person) (ids []string) {
	text, _ := json.Marshal(visual("packed", ""))
	const me = "/beta/me/notifications"
	for format, encoding := range map[string]string{"gzip": "gzip", "zlib": "deflate", "bare": "deflate"} {
		good := squeezed(t, format, text)
		ids = append(ids, packed(t, s, p.token, me, encoding, good).want(t, 201).str("id"))
		packed(t, s, p.token, me, encoding, good[:len(good)-2]).refuses(t, 400, "Content-Encoding", encoding)
		packed(t, s, p.token, me, encoding, append(bytes.Clone(good), "more"...)).refuses(t, 400, "Content-Encoding", encoding)
	}
	packed(t, s, p.token, me, "gzip", text).refuses(t, 400, "Content-Encoding", "gzip")
	packed(t, s, p.token, me, "gzip", nil).refuses(t, 400, "Content-Encoding")
	packed(t, s, p.token, me, "br", text).refuses(t, 415, "Content-Encoding")
	packed(t, s, p.token, me, "gzip, deflate", text).refuses(t, 415, "Content-Encoding")
	line, _ := json.Marshal(with(visual("bulk", ""), map[string]any{"userId": p.id}))
	for format, encoding := range map[string]string{"gzip": "gzip", "zlib": "deflate", "bare": "deflate"} {
		r := packed(t, s, s.app, "/api/v1/notifications", encoding, squeezed(t, format, line)).want(t, 200)
		var first struct{ ID string }
		if err := json.NewDecoder(bytes.NewReader(r.text)).Decode(&first); err != nil || first.ID == "" {
			t.Fatalf("%v: %s", err, r.text)
		}
		ids = append(ids, first.ID)
	}
	return ids
}

// bombs sends 10 GiB of zeros in 10 MB, whole and as far as the gateway reads
// it, to the routes that take bodies.
func bombs(t *testing.T, s *site, p *person) []string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	zeros := make([]byte, 32<<20)
	flush := func() []byte {
		from := b.Len()
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(b.Bytes()[from:])
	}
	bomb := append(flush(), bytes.Repeat(flush(), 319)...)
	before := s.memory(t, "VmRSS")
	s.forgetPeak(t)
	for _, path := range []string{"/beta/me/notifications", "/api/v1/notifications", "/api/v1/endpoints"} {
		token := s.app
		if strings.HasPrefix(path, "/beta") {
			token = p.token
		}
		r := packed(t, s, token, path, "gzip", bomb)
		r.refuses(t, 413)
	}
	small := squeezed(t, "gzip", zeros) // fits as it is sent
	packed(t, s, p.token, "/beta/me/notifications", "gzip", small).refuses(t, 413, "65536")
	packed(t, s, s.app, "/api/v1/notifications", "gzip", small).refuses(t, 413, "16777216")
	peak := s.memory(t, "VmHWM")
	t.Logf("a bomb of 10 GiB in %d KiB: %d MiB before, %d MiB at most", len(bomb)>>10, before>>10, peak>>10)
	if !race && peak-before > 32<<10 {
		t.Errorf("%d KiB more memory, at most 32 MiB may be", peak-before)
	}
	return nil
}

// memory reads a line of the process's status, in KiB.
func (s *site) memory(t *testing.T, line string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.SplitSeq(string(text), "\n") {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", line, text)
	return 0
}

// forgetPeak makes VmHWM begin anew (proc_pid_clear_refs(5)).
func (s *site) forgetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// issuerKeys is an issuer of the tests: two good keys and some that are not its
// own.
type issuerKeys struct {
	config string
	rsa    *rsa.PrivateKey
	ec     *ecdsa.PrivateKey
}

const (
	issuerURL = "https://id.example.test"
)

func newIssuerKeys(t *testing.T, dir string) *issuerKeys {
	t.Helper()
	k := &issuerKeys{config: filepath.Join(dir, "carillon.yaml")}
	var err error
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	point, err := k.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwks, _ := json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "r", "use": "sig", "n": b64(k.rsa.N.Bytes()), "e": b64(big.NewInt(int64(k.rsa.E)).Bytes())},
		{"kty": "EC", "kid": "e", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])},
	}})
	text := "issuers:\n  - {url: \"" + issuerURL + "\", alias: ex, audiences: [carillon], jwksFile: keys.json}\n"
	for name, b := range map[string][]byte{"keys.json": jwks, "carillon.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// claims of a good token of a user, with what is to be other.
func (k *issuerKeys) claims(client string, other jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": issuerURL, "aud": "carillon", "sub": "alice", "azp": client, "scp": "Notifications.ReadWrite.CreatedByApp",
		"nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for name, v := range other {
		if v == nil {
			delete(c, name)
			continue
		}
		c[name] = v
	}
	return c
}

func signed(t *testing.T, m jwt.SigningMethod, kid string, key any, c jwt.MapClaims, header ...any) string {
	t.Helper()
	token := jwt.NewWithClaims(m, c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	for i := 0; i+1 < len(header); i += 2 {
		token.Header[header[i].(string)] = header[i+1]
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// badTokens tries tokens of every kind that must not be taken.
func (k *issuerKeys) badTokens(t *testing.T, s *site, p *person) []string {
	client := clientOf(t, s.app)
	good := func(other jwt.MapClaims) jwt.MapClaims { return k.claims(client, other) }
	ask := func(token string) *reply { return s.call(t, token, "GET", "/beta/me/notifications", nil) }
	for name, token := range map[string]string{
		"RS256":                     signed(t, jwt.SigningMethodRS256, "r", k.rsa, good(nil)),
		"ES256":                     signed(t, jwt.SigningMethodES256, "e", k.ec, good(nil)),
		"one of two audiences":      signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"aud": []string{"x", "carillon"}})),
		"over for four minutes":     signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"exp": time.Now().Add(-4 * time.Minute).Unix()})),
		"begins in four minutes":    signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"nbf": time.Now().Add(4 * time.Minute).Unix()})),
		"without a not-before":      signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"nbf": nil})),
		"of the development issuer": p.token,
	} {
		if r := ask(token); r.status != 200 {
			t.Errorf("a good token (%s) is refused: %d %s", name, r.status, r.text)
		}
	}
	stranger, _ := rsa.GenerateKey(rand.Reader, 2048)
	valid := signed(t, jwt.SigningMethodES256, "e", k.ec, good(nil))
	parts := strings.Split(valid, ".")
	for name, token := range map[string]string{
		"none":                     signed(t, jwt.SigningMethodNone, "r", jwt.UnsafeAllowNoneSignatureType, good(nil)),
		"HMAC with the public key": signed(t, jwt.SigningMethodHS256, "r", k.rsa.N.Bytes(), good(nil)),
		"RS512":                    signed(t, jwt.SigningMethodRS512, "r", k.rsa, good(nil)),
		"PS256":                    signed(t, jwt.SigningMethodPS256, "r", k.rsa, good(nil)),
		"expired":                  signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"exp": time.Now().Add(-6 * time.Minute).Unix()})),
		"without an expiry":        signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"exp": nil})),
		"not valid yet":            signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"nbf": time.Now().Add(6 * time.Minute).Unix()})),
		"another audience":         signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"aud": "https://graph.microsoft.com"})),
		"no audience":              signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"aud": nil})),
		"another issuer":           signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"iss": issuerURL + "/"})),
		"the development issuer's": signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"iss": "https://dev.carillon.localhost"})),
		"unknown key id":           signed(t, jwt.SigningMethodES256, "x", k.ec, good(nil)),
		"no key id of two":         signed(t, jwt.SigningMethodES256, "", k.ec, good(nil)),
		"another key":              signed(t, jwt.SigningMethodRS256, "r", stranger, good(nil)),
		"the EC key's id with RSA": signed(t, jwt.SigningMethodRS256, "e", k.rsa, good(nil)),
		"the RSA key's id with EC": signed(t, jwt.SigningMethodES256, "r", k.ec, good(nil)),
		"a key of its own":         signed(t, jwt.SigningMethodRS256, "r", stranger, good(nil), "jwk", map[string]string{"kty": "RSA"}, "jku", "https://evil.example/"),
		"a critical header":        signed(t, jwt.SigningMethodES256, "e", k.ec, good(nil), "crit", []string{"x"}),
		"too long":                 signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"x": strings.Repeat("x", 12<<10)})),
		"without a user":           signed(t, jwt.SigningMethodES256, "e", k.ec, good(jwt.MapClaims{"sub": nil})),
		"without its signature":    parts[0] + "." + parts[1] + ".",
		"another payload":          parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuerURL+`"}`)) + "." + parts[2],
		"two parts":                parts[0] + "." + parts[1],
		"four parts":               valid + "." + parts[2],
		"padded":                   parts[0] + "." + parts[1] + "." + parts[2] + "==",
		"no JWT":                   "rubbish",
	} {
		r := ask(token)
		if name == "too long" && r.status == 431 {
			continue
		}
		if r.status != 401 || r.str("error", "code") != "unauthenticated" || r.str("error", "target") != "Authorization" || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	unlisted := signed(t, jwt.SigningMethodES256, "e", k.ec, k.claims("nobody's client", nil))
	ask(unlisted).refuses(t, 403)
	return nil
}

// clientOf is the client id of a token.
func clientOf(t *testing.T, token string) string {
	t.Helper()
	var c jwt.MapClaims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		t.Fatal(err)
	}
	id, _ := c["azp"].(string)
	return id
}

// badChannels registers addresses that WNS would not give.
func badChannels(t *testing.T, s *site, p *person) []string {
	for _, address := range []string{
		"http://wns2.notify.windows.com/?token=x", "https://notify.windows.com.evil.example/", "https://evilnotify.windows.com/", "https://u:p@notify.windows.com/",
		"https://notify.windows.com:8443/", "https://notify.windows.com./", "https://127.0.0.1/?x=.notify.windows.com", "https://[::1]/", "https://localhost/",
		"HTTPS://notify.windows.com/", "https://notify。windows。com/", "https://evil.example\\.notify.windows.com/", "https://notify.windows.com/\r\nHost: evil.example",
		"https://169.254.169.254/latest/meta-data", "file:///etc/passwd", "https://xn--notify-windows.com/",
	} {
		s.call(t, p.token, "PUT", "/api/v1/me/endpoints/pc", map[string]string{"host": host, "platform": "windows", "address": address, "appId": aumid}).
			refuses(t, 400, "address", "notify.windows.com")
		line, _ := json.Marshal(map[string]string{"userId": p.id, "installationId": "pc", "host": host, "platform": "windows", "address": address, "appId": aumid})
		r := packed(t, s, s.app, "/api/v1/endpoints", "identity", line)
		if r.status != 200 || !strings.Contains(string(r.text), `"target":"address"`) || !strings.Contains(string(r.text), `"accepted":0`) {
			t.Errorf("%q is imported: %d %s", address, r.status, r.text)
		}
	}
	return nil
}

// dial opens a bare connection to the gateway.
func (s *site) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// smuggling sends, in shapes of which a proxy in front might see another end, a
// send that hides behind another request. The router's own test has all shapes.
func smuggling(t *testing.T, s *site, p *person) []string {
	body, _ := json.Marshal(visual("smuggled", ""))
	hidden := fmt.Sprintf("POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", p.token, len(body), body)
	before := len(history(t, p))
	head := "POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + p.token + "\r\n"
	for name, sent := range map[string]string{
		"CL.TE":              head + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE.CL":              head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"TE.TE":              head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
		"two lengths":        head + "Content-Length: 0\r\nContent-Length: 100\r\n\r\n",
		"obs-fold":           head + "X: a\r\n Content-Length: 100\r\nContent-Length: 0\r\n\r\n",
		"bare LF":            head + "X: a\nContent-Length: 0\r\n\r\n",
		"bad chunk size":     head + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
		"space before colon": head + "Content-Length : 0\r\n\r\n",
		"absolute form":      strings.Replace(head, "POST /", "POST http://b/", 1) + "Content-Length: 0\r\n\r\n",
		"trailer":            head + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\n\n",
	} {
		c := s.dial(t)
		if _, err := io.WriteString(c, sent+hidden); err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(c)
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 400 || !res.Close || !bytes.Contains(text, []byte(`"innerError"`)) {
			t.Errorf("%s: %d, closes %v: %s", name, res.StatusCode, res.Close, text)
		}
		if rest, _ := io.ReadAll(br); len(rest) > 0 {
			t.Errorf("%s: a second answer: %s", name, rest)
		}
	}
	if now := len(history(t, p)); now != before {
		t.Errorf("%d sends were taken out of others", now-before)
	}
	return nil
}

// pipelining sends many requests before it reads: the answers come in order.
func pipelining(t *testing.T, s *site, p *person) (ids []string) {
	const sends = 50
	c := s.dial(t)
	var all bytes.Buffer
	for i := range sends {
		body, _ := json.Marshal(visual("number "+strconv.Itoa(i), ""))
		switch i % 3 {
		case 0: // one that is answered with an error, and is no end
			all.WriteString("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
		case 1:
			fmt.Fprintf(&all, "POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\nclient-request-id: %d\r\n\r\n%s", p.token, len(body), i, body)
		case 2:
			fmt.Fprintf(&all, "POST /beta/me/notifications HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\nclient-request-id: %d\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", p.token, i, len(body), body)
		}
	}
	if _, err := c.Write(all.Bytes()); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(c)
	for i := range sends {
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if i%3 == 0 {
			if res.StatusCode != 404 {
				t.Errorf("answer %d: %d %s", i, res.StatusCode, text)
			}
			continue
		}
		var n struct {
			ID      string
			Payload struct{ VisualContent struct{ Title string } }
		}
		if err := json.Unmarshal(text, &n); err != nil || res.StatusCode != 201 || n.Payload.VisualContent.Title != "number "+strconv.Itoa(i) ||
			res.Header.Get("client-request-id") != strconv.Itoa(i) {
			t.Errorf("answer %d: %d %s %v", i, res.StatusCode, text, err)
		}
		ids = append(ids, n.ID)
	}
	return ids
}
