package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"carillon"
	"carillon/config"
	"carillon/internal/httpapi"
)

// endpointsPath is where endpoints are imported and exported.
const endpointsPath = "/api/v1/endpoints"

// door is how a command reaches a running gateway: as an app, or as an
// administrator.
type door struct {
	o                   config.Options
	url, ca, token, app string
	admin               bool

	http  *http.Client
	clock *carillon.Clock
}

func (d *door) flags(fs *flag.FlagSet) {
	d.o.Flags(fs, "data")
	fs.StringVar(&d.url, "url", "", "the gateway's base `URL`; else where the configuration lets it listen")
	fs.StringVar(&d.ca, "ca", "", "PEM `FILE` with the certificate authority of an https gateway")
	if d.admin {
		fs.StringVar(&d.token, "token", "", "an administrator's bearer `TOKEN`; else one by the master key under --data")
		return
	}
	fs.StringVar(&d.token, "token", "", "an app's bearer `TOKEN`; else one of the development issuer, by the key under --data")
	fs.StringVar(&d.app, "app", "", "the app with this `HOST`")
}

// open settles what the flags left open and makes the client.
func (d *door) open(ctx context.Context, e *env) error {
	cfg, err := e.load(d.o)
	if err != nil {
		return err
	}
	if d.url == "" {
		h := cfg.HTTP.WithDefaults()
		scheme := "http://"
		if h.TLSCert != "" {
			scheme = "https://"
		}
		d.url = scheme + h.Listen
	}
	if u, err := url.Parse(d.url); err != nil || u.Host == "" {
		return usagef("--url %s is no URL such as https://push.example.com", d.url)
	}
	d.url = strings.TrimRight(d.url, "/")
	if d.token == "" {
		var out strings.Builder
		issuing := &env{stdout: &out, environ: e.environ}
		if err := issuing.token(ctx, cfg, wantedToken{app: d.app, admin: d.admin}, httpapi.DefaultOpsListen); err != nil {
			return fmt.Errorf("no token: give one with --token, or: %w", err)
		}
		d.token = strings.TrimSpace(out.String())
	}
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.ca != "" {
		pem, err := os.ReadFile(d.ca)
		if err != nil {
			return fmt.Errorf("--ca: %w", err)
		}
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca %s holds no certificate in PEM form", d.ca)
		}
	}
	d.clock = &carillon.Clock{}
	d.http = &http.Client{Transport: &http.Transport{TLSClientConfig: tc, Proxy: http.ProxyFromEnvironment}}
	return nil
}

func (d *door) close() { d.http.CloseIdleConnections() }

// unreachable says which flag helps.
func (d *door) unreachable(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("nothing listens at %s: start `carillon serve`, or name the gateway with --url", d.url)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of %s is not trusted: name its authority with --ca FILE (%w)", d.url, err)
	}
	return fmt.Errorf("asking %s: %w", d.url, err)
}

func endpointImportCommand() command {
	return command{
		name:    "endpoint import",
		args:    "[--url URL] [--ca FILE] [--token TOKEN | --data DIR [--app HOST]] [FILE|-]",
		summary: "import endpoints from a file of JSON lines",
		about: "A line is {\"userId\", \"installationId\", \"host\", \"platform\", \"address\", \"appId\"} and, where wanted,\n" +
			"environment, locale, push, expirationDateTime and registeredDateTime: what the export writes. FILE may be\n" +
			"packed (.gz); without it standard input is read. Bad lines are told on standard error with their number\n" +
			"and do not stop the others. What failed on the way is tried again; a run that was cut off can be run\n" +
			"again as a whole, as a line that is imported twice changes nothing.",
		examples: []string{
			"carillon endpoint import devices.ndjson",
			"carillon endpoint import --url https://push.example.com --ca ca.pem --token \"$TOKEN\" devices.ndjson.gz",
			"carillon endpoint export --url \"$OLD\" --token \"$T1\" | carillon endpoint import --url \"$NEW\" --token \"$T2\" -",
		},
		setup: func(fs *flag.FlagSet) runner {
			d := &door{}
			d.flags(fs)
			return func(ctx context.Context, e *env, args []string) error {
				name, err := oneFile(args)
				if err != nil {
					return err
				}
				if err := d.open(ctx, e); err != nil {
					return err
				}
				defer d.close()
				return e.importEndpoints(ctx, d, name)
			}
		},
	}
}

func endpointExportCommand() command {
	return command{
		name:    "endpoint export",
		args:    "[--url URL] [--ca FILE] [--token TOKEN | --data DIR] [--app HOST] [FILE|-]",
		summary: "export all endpoints as JSON lines",
		about: "Every live endpoint of the hosts that the token's app owns, or of --app alone, in the form that the\n" +
			"import takes. FILE appears when it is whole; without it standard output is written, and the exit code\n" +
			"tells whether it is whole.",
		examples: []string{
			"carillon endpoint export devices.ndjson",
			"carillon endpoint export --app demo.localhost | gzip >devices.ndjson.gz",
		},
		setup: func(fs *flag.FlagSet) runner {
			d := &door{}
			d.flags(fs)
			return func(ctx context.Context, e *env, args []string) error {
				name, err := oneFile(args)
				if err != nil {
					return err
				}
				if err := d.open(ctx, e); err != nil {
					return err
				}
				defer d.close()
				return e.exportEndpoints(ctx, d, name)
			}
		},
	}
}

// oneFile is the one argument that may be there, "-" without it.
func oneFile(args []string) (string, error) {
	switch len(args) {
	case 0:
		return "-", nil
	case 1:
		return args[0], nil
	}
	return "", usagef("%q is one argument too many: give one FILE, or - for the standard stream", args[1])
}
