//go:build acceptance

package acceptance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// schemathesisVersion makes requests up from the description. MIT licence.
const schemathesisVersion = "4.32.5"

// TestOpenAPI has schemathesis make up requests from /openapi.json, valid ones
// and invalid ones, and hold every answer to it. CARILLON_EXAMPLES is how many
// a call (4); acceptance/openapi/schemathesis.toml says what is switched off, why.
func TestOpenAPI(t *testing.T) {
	st := schemathesis(t)
	data := filepath.Join(workDir(t), "data")
	s := serve(t, data)
	token := func(args ...string) string {
		return strings.TrimSpace(carillon(t, append([]string{"token", "--data", data, "--ops", s.ops}, args...)...))
	}
	admin := token("--admin")
	for _, host := range []string{"open.localhost", "fuzz.localhost"} {
		s.call(t, admin, "PUT", "/api/v1/apps/"+host, nil).want(t, 201)
	}
	const appID = "com.example.fuzz"
	s.call(t, admin, "PUT", "/api/v1/apps/open.localhost/clients", map[string]any{"clients": []string{"fuzz"}}).want(t, 200)
	var identities []map[string]string
	for _, platform := range []string{"ios", "android", "windows"} {
		identities = append(identities, map[string]string{"platform": platform, "appId": appID})
	}
	s.call(t, admin, "PUT", "/api/v1/apps/open.localhost/identities", map[string]any{"identities": identities}).want(t, 200)
	user := token("--client", "fuzz", "--user", "alice")
	phone := s.call(t, user, "PUT", "/api/v1/me/endpoints/fuzz", map[string]any{"platform": "polling"}).want(t, 200)

	examples, seed := os.Getenv("CARILLON_EXAMPLES"), strconv.FormatInt(time.Now().UnixNano()%1_000_000, 10)
	if examples == "" {
		examples = "4"
	}
	if given := os.Getenv("CARILLON_SEED"); given != "" {
		seed = given
	}
	t.Logf("seed %s (CARILLON_SEED repeats it), %s examples", seed, examples)
	project := workDir(t)
	for _, name := range []string{"schemathesis.toml", "hooks.py"} {
		text, err := os.ReadFile(filepath.Join("openapi", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(project, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), st, "--config-file", "schemathesis.toml", "run", s.url+"/openapi.json",
		"--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--seed", seed, "--continue-on-failure",
		"--exclude-path-regex", "^/v1.0") // the same routes again
	cmd.Dir = project
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "CARILLON_HOST=open.localhost", "CARILLON_APP_ID="+appID, "CARILLON_USER="+user,
		"CARILLON_APP="+token("--client", "fuzz"), "CARILLON_ADMIN="+admin,
		"CARILLON_SUBSCRIPTION="+phone.str("subscriptionId"), "CARILLON_POSITION="+phone.str("position"))
	if r := finish(t, cmd); r.code != 0 {
		t.Errorf("schemathesis: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.stop(t)
}

// schemathesis installs the tool once for each version and gives its command.
func schemathesis(t *testing.T) string {
	t.Helper()
	needs(t, "python3")
	dir := filepath.Join(caches, "schemathesis-"+schemathesisVersion)
	command := filepath.Join(dir, "bin", "st")
	if _, err := os.Stat(command); err == nil {
		return command
	}
	for _, step := range [][]string{
		{"python3", "-m", "venv", dir},
		{filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "schemathesis==" + schemathesisVersion},
	} {
		if r := run(t, npmLimit, step[0], step[1:]...); r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s%s", strings.Join(step, " "), r.code, r.stdout, r.stderr)
		}
	}
	return command
}
