package config_test

import (
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carillon"
	"carillon/config"

	"github.com/google/go-cmp/cmp"
)

// sample has every shape that a room's Config may have.
type sample struct {
	Gateway door              `yaml:"gateway"`
	Journal log               `yaml:"journal"`
	Peers   []peer            `yaml:"peers"`
	Labels  map[string]string `yaml:"labels"`
	Extra   *peer             `yaml:"extra"`
	Hidden  string            `yaml:"-"`
	Now     func() time.Time
}

type door struct {
	Listen    string        `yaml:"listen"`
	MaxBody   int64         `yaml:"maxBody"`
	Timeout   time.Duration `yaml:"timeout"`
	HTTP1Only bool          `yaml:"http1Only"`
	Level     slog.Level    `yaml:"level"`
	Ratio     float64       `yaml:"ratio"`
}

type log struct {
	Brokers  []string `yaml:"brokers"`
	Epoch    uint16   `yaml:"epoch"`
	Sync     *bool    `yaml:"sync"`
	Password string   `yaml:"password"`
}

type peer struct {
	Name string `yaml:"name"`
	Port int    `yaml:"port"`
}

const full = `# a comment
gateway:
  listen: 127.0.0.1:8410
  maxBody: 64KiB
  timeout: 1d12h
  http1Only: true
  level: WARN
  ratio: 0.5
journal:
  brokers: [a:9092, "b:9092"]
  epoch: 7
  sync: false
  password: hunter2
peers:
  - name: one
    port: 1
  - {name: two, port: 2}
labels:
  a: b
extra:
  name: x
`

func TestFileFillsEveryShape(t *testing.T) {
	var got sample
	origins, problems := config.Fill(&got, config.Options{}, []byte(full))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	no := false
	want := sample{
		Gateway: door{Listen: "127.0.0.1:8410", MaxBody: 64 << 10, Timeout: 36 * time.Hour, HTTP1Only: true, Level: slog.LevelWarn, Ratio: 0.5},
		Journal: log{Brokers: []string{"a:9092", "b:9092"}, Epoch: 7, Sync: &no, Password: "hunter2"},
		Peers:   []peer{{"one", 1}, {"two", 2}},
		Labels:  map[string]string{"a": "b"},
		Extra:   &peer{Name: "x"},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b func() time.Time) bool { return a == nil && b == nil })); d != "" {
		t.Error(d)
	}
	if got, want := origins["gateway.maxBody"], (config.Origin{Source: config.FromFile, Where: "test.yaml:4"}); got != want {
		t.Errorf("origin %v, want %v", got, want)
	}
}

func TestLaterSourcesOverride(t *testing.T) {
	var got sample
	o := config.Options{
		Environ: []string{
			"CARILLON_GATEWAY_LISTEN=env:1", "CARILLON_GATEWAY_MAX_BODY=1MiB", "CARILLON_GATEWAY_HTTP1_ONLY=false",
			"CARILLON_JOURNAL_BROKERS=x:1, y:2", "CARILLON_JOURNAL_SYNC=true",
			"CARILLON_BUILD=build", "CARILLON_SERVICE_HOST=10.0.0.1", "CARILLON_GATEWAY_PORT_8410_TCP=tcp://10.0.0.1:8410", "HOME=/",
		},
		Set: []config.Setting{{Key: "gateway.listen", Value: "flag:1", Flag: "listen"}},
	}
	origins, problems := config.Fill(&got, o, []byte(full))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got.Gateway.Listen != "flag:1" || got.Gateway.MaxBody != 1<<20 || got.Gateway.HTTP1Only || !*got.Journal.Sync {
		t.Errorf("got %+v, sync %v", got.Gateway, *got.Journal.Sync)
	}
	if d := cmp.Diff([]string{"x:1", "y:2"}, got.Journal.Brokers); d != "" {
		t.Error(d)
	}
	if o := origins["gateway.listen"]; o.Source != config.FromFlag || o.Where != "--listen" {
		t.Errorf("origin of listen is %v", o)
	}
	if o := origins["journal.sync"]; o.Source != config.FromEnv || o.Where != "CARILLON_JOURNAL_SYNC" {
		t.Errorf("origin of sync is %v", o)
	}
}

func TestProblemsNamePlaceAndPath(t *testing.T) {
	f := func(file string, want ...string) {
		t.Helper()
		var got sample
		_, problems := config.Fill(&got, config.Options{}, []byte(file))
		var lines []string
		for _, p := range problems {
			lines = append(lines, p.String())
		}
		if d := cmp.Diff(want, lines); d != "" {
			t.Errorf("%q: %s", file, d)
		}
	}
	f("gateway:\n  lisen: x\n", "test.yaml:2: gateway.lisen: unknown key; did you mean gateway.listen?")
	f("getaway: {}\n", "test.yaml:1: getaway: unknown key; did you mean gateway?")
	f("gateway:\n  qqq: 1\n  timeout: 5\n",
		"test.yaml:2: gateway.qqq: unknown key; `carillon config print` shows those that exist",
		`test.yaml:3: gateway.timeout: "5" is not a duration such as 250ms, 15s, 2h, 31d`)
	f("journal:\n  epoch: 70000\n", "test.yaml:2: journal.epoch: 70000 is not within 0 … 2^16-1")
	f("journal:\n  epoch: -1\n", "test.yaml:2: journal.epoch: -1 is not within 0 … 2^16-1")
	f("gateway:\n  maxBody: 9000000TiB\n", `test.yaml:2: gateway.maxBody: "9000000TiB" is too large`)
	f("gateway: 5\n", "test.yaml:1: gateway: is a single value, a section with keys is expected")
	f("gateway:\n  listen: [a]\n", "test.yaml:2: gateway.listen: is a list, a single value is expected")
	f("gateway:\n  listen:\n", "test.yaml:2: gateway.listen: has no value; remove the key to get the default")
	f("peers:\n  - name: a\n    prot: 1\n", "test.yaml:3: peers[0].prot: unknown key; did you mean peers[0].port?")
	f("gateway:\n  listen: &a x\n", "test.yaml:2: gateway.listen: anchors, aliases and tags (& * << !) are not read; write the value out")
	f("a: 1\n---\nb: 2\n", "test.yaml:3: a second document (---) begins here; one is allowed")
	f("gateway:\n# nothing\n")
	f("# only a comment\n")
	f("")
}

func TestSecretsStayHidden(t *testing.T) {
	var got sample
	origins, problems := config.Fill(&got, config.Options{}, []byte(full))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var out strings.Builder
	if err := config.Show(&out, &got, origins); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "hunter2") || !strings.Contains(out.String(), "password: "+config.Redacted+" # file test.yaml:13") {
		t.Error(out.String())
	}
}

func TestUnknownVariable(t *testing.T) {
	var got sample
	_, problems := config.Fill(&got, config.Options{Environ: []string{"CARILLON_GATEWAY_LISTN=x", "CARILLON_PEERS=y"}}, nil)
	want := "CARILLON_GATEWAY_LISTN: no key belongs to this variable; did you mean CARILLON_GATEWAY_LISTEN?\n" +
		"CARILLON_PEERS: peers: is a list of sections; it can only stand in the file"
	if d := cmp.Diff(want, problems.Error()); d != "" {
		t.Error(d)
	}
}

func TestVariablesAreUnambiguous(t *testing.T) {
	for name, paths := range config.EnvNames(&config.Config{}) {
		if len(paths) > 1 {
			t.Errorf("%s sets %v", name, paths)
		}
	}
}

func TestDurations(t *testing.T) {
	f := func(s string, want time.Duration) {
		t.Helper()
		if got, err := config.ParseDuration(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	f("+31d", 31*24*time.Hour)
	f("-1d1h", -25*time.Hour)
	f("0", 0)
	f("0s", 0)
	f("0d", 0)
	f("1h30m", 90*time.Minute)
	for _, s := range []string{"", "+", "-", "5", "d", "1d-1h", "--1h", "99999999d", "2562047h2562047h"} {
		if d, err := config.ParseDuration(s); err == nil {
			t.Errorf("%q is %v", s, d)
		}
	}
}

func TestLoadOfFlags(t *testing.T) {
	var o config.Options
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o.Flags(fs)
	if err := fs.Parse([]string{"--data", "/srv/x", "--ephemeral", "--set", "data=/srv/y"}); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Data != "/srv/y" || !cfg.Ephemeral || cfg.Origin("data") != (config.Origin{Source: config.FromFlag, Where: "--set"}) {
		t.Errorf("%+v, origin %v", cfg, cfg.Origin("data"))
	}
	if err := fs.Parse([]string{"--set", "data"}); err == nil {
		t.Error("--set without = was taken")
	}
}

// home writes files and gives their folder.
func home(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const apps = `apps:
  - host: news.example.com
    clients: [c1]
    identities:
      - {platform: ios, appId: com.example.news}
      - {platform: windows, appId: News_1!App}
    credentials:
      - {platform: ios, file: key.p8, keyId: ABCDEFGHIJ, teamId: KLMNOPQRST}
      - {platform: windows, packageSid: ms-app://s, secretFile: wns.secret}
      - {platform: android, file: fcm.json}
      - {platform: ios, set: dev, appIds: [com.example.dev], certificate: dev.p12, secretFile: wns.secret, environment: sandbox}
`

func TestAppsAreOnboarded(t *testing.T) {
	dir := home(t, map[string]string{"carillon.yaml": apps, "key.p8": "k", "fcm.json": "{}", "wns.secret": "hush\n", "dev.p12": "c"})
	cfg, err := config.Load(config.Options{File: filepath.Join(dir, "carillon.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	want := []carillon.App{{
		Host: "news.example.com", Clients: []string{"c1"},
		Identities: []carillon.Identity{{Platform: carillon.IOS, AppID: "com.example.news"}, {Platform: carillon.Windows, AppID: "News_1!App"}},
		Credentials: []carillon.Credential{
			{Platform: carillon.IOS, File: filepath.Join(dir, "key.p8"), KeyID: "ABCDEFGHIJ", TeamID: "KLMNOPQRST", Environment: "production"},
			{Platform: carillon.Windows, PackageSID: "ms-app://s", Secret: "hush"},
			{Platform: carillon.Android, File: filepath.Join(dir, "fcm.json")},
			{
				Platform: carillon.IOS, Set: "dev", AppIDs: []string{"com.example.dev"}, File: filepath.Join(dir, "dev.p12"),
				Certificate: true, Secret: "hush", Environment: "sandbox",
			},
		},
	}}
	if d := cmp.Diff(want, cfg.Onboarded()); d != "" {
		t.Error(d)
	}
}

func TestAppsProblems(t *testing.T) {
	dir := home(t, map[string]string{"key.p8": "k", "carillon.yaml": `apps:
  - host: News.Example.com
    identities:
      - {platform: polling, appId: x}
    credentials:
      - {platform: ios, file: none.p8, keyId: short, teamId: KLMNOPQRST, secret: hunter2}
      - {platform: windows, tenantId: t, secretEnv: NOT_SET}
      - {platform: ios, file: key.p8, keyId: ABCDEFGHIJ, teamId: KLMNOPQRST, environment: test}
`})
	file := filepath.Join(dir, "carillon.yaml")
	_, err := config.Load(config.Options{File: file})
	if err == nil {
		t.Fatal("loaded")
	}
	got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	want := `carillon.yaml:2: apps[0].host: "News.Example.com" is not a lower-case DNS name: byte 0 ('N')
carillon.yaml:4: apps[0].identities[0].platform: "polling" is none of windows, ios, android, web
carillon.yaml:6: apps[0].credentials[0].secret: means nothing for ios
carillon.yaml:6: apps[0].credentials[0].file: none.p8 cannot be opened; it should hold the APNs key (.p8)
carillon.yaml:6: apps[0].credentials[0].keyId: "short" has 5 characters, Apple's have 10
carillon.yaml:7: apps[0].credentials[1]: an Entra app needs tenantId and clientId
carillon.yaml:7: apps[0].credentials[1].secretEnv: the environment variable NOT_SET is not set
carillon.yaml:8: apps[0].credentials[2].environment: "test" is neither production nor sandbox
carillon.yaml:8: apps[0].credentials[2]: is the second credential for ios with the set "": give each another set`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRoomsJudgeTheirSections(t *testing.T) {
	dir := home(t, map[string]string{"carillon.yaml": `http:
  tlsCert: a.pem
journal:
  heartbeatInterval: 1h
embedded:
  sync: false
issuers:
  - url: https://id.example.com
    alias: ID
`})
	file := filepath.Join(dir, "carillon.yaml")
	_, err := config.Load(config.Options{File: file})
	if err == nil {
		t.Fatal("loaded")
	}
	got := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")
	want := `carillon.yaml:8: issuers[0]: the alias "ID" of https://id.example.com has other characters than a-z, 0-9 and -
carillon.yaml:4: journal.heartbeatInterval: 1h0m0s is more than half of sessionTimeout (10s)
carillon.yaml:2: http.tlsCert: and http.tlsKey: give both or none`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDefaultsAreShown(t *testing.T) {
	cfg, err := config.Load(config.Options{Environ: []string{"CARILLON_EMBEDDED_SYNC=false", "CARILLON_DISPATCH_SHARDS=3"}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := config.Print(&out, cfg); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  listen: 127.0.0.1:8410\n", "  listen: 127.0.0.1:8411\n", "  sync: false # env CARILLON_EMBEDDED_SYNC\n", "  shards: 3 # env", "  brokers: []\n", "apps: []\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	file := filepath.Join(home(t, map[string]string{"c.yaml": out.String()}), "c.yaml")
	if _, err := config.Load(config.Options{File: file}); err != nil {
		t.Errorf("what is printed cannot be loaded: %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := config.Load(config.Options{Environ: []string{"CARILLON_CONFIG=/nonexistent/c.yaml"}})
	if err == nil || err.Error() != "config: /nonexistent/c.yaml cannot be read (no such file or directory); name another with --config FILE" {
		t.Error(err)
	}
}

func TestJSONHasOriginsAndNoSecrets(t *testing.T) {
	dir := home(t, map[string]string{"carillon.yaml": apps, "key.p8": "k", "fcm.json": "{}", "wns.secret": "hush\n", "dev.p12": "c"})
	cfg, err := config.Load(config.Options{File: filepath.Join(dir, "carillon.yaml"), Environ: []string{"CARILLON_DATA=/d"}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := config.PrintJSON(&out, cfg); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"data": "/d"`, `"where": "CARILLON_DATA"`, `"ephemeral": false`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is missing in %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "hush") {
		t.Error("a secret is shown")
	}
}
