package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

func appCredentialCommand() command {
	return appCommand(command{
		name: "app credential", args: "HOST --platform PLATFORM (--file FILE … | --secret-file FILE …)",
		summary: "give an app the credential of a push service, or another one in its place",
		about: "The credential is checked, sealed and used at once; what is under way with the old one is waited for. It is never\n" +
			"given back. ios: --file KEY.p8 --key-id ID --team-id ID, or --certificate FILE (PEM or .p12) and its\n" +
			"--password-file; android: --file SERVICE-ACCOUNT.json; windows: --secret-file FILE with --package-sid SID, or with\n" +
			"--tenant-id ID --client-id ID. --name tells several of a platform apart, --app-id whom it serves; --remove takes\n" +
			"it away.",
		examples: []string{
			"carillon app credential news.example.com --platform ios --file AuthKey_ABCDEFGHIJ.p8 --key-id ABCDEFGHIJ --team-id KLMNOPQRST",
			"carillon app credential news.example.com --platform android --file service-account.json",
		},
	}, func(fs *flag.FlagSet) func(context.Context, *env, *door, []string) error {
		var c credentialFlags
		c.flags(fs)
		return func(ctx context.Context, e *env, d *door, args []string) error {
			host, err := hostArg(args)
			if err != nil {
				return err
			}
			if c.remove {
				return d.removeCredential(ctx, e, c.path(host))
			}
			body, err := c.body()
			if err != nil {
				return err
			}
			return d.tell(ctx, e, http.MethodPut, c.path(host), body)
		}
	})
}

// credentialFlags are the parts of a credential as flags.
type credentialFlags struct {
	platform, set, file, secretFile string
	certificate, passwordFile       string
	sandbox, remove                 bool
	appIDs                          texts
	members                         map[string]*string // of the credential that are no secrets
}

func (c *credentialFlags) path(host string) string {
	path := appsPath + "/" + url.PathEscape(host) + "/credentials/" + url.PathEscape(c.platform)
	if c.set != "" {
		path += "/" + url.PathEscape(c.set)
	}
	return path
}

func (d *door) removeCredential(ctx context.Context, e *env, path string) error {
	if err := d.administer(ctx, http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	return e.answer(map[string]string{"removed": strings.TrimPrefix(path, appsPath+"/")}, func(w io.Writer) { fmt.Fprintln(w, "the credential is removed") })
}

func (c *credentialFlags) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.platform, "platform", "", "`PLATFORM`: ios, android or windows")
	fs.StringVar(&c.file, "file", "", "`FILE` with the APNs key (.p8) or the FCM service account (JSON)")
	fs.StringVar(&c.secretFile, "secret-file", "", "`FILE` with the WNS secret")
	fs.StringVar(&c.certificate, "certificate", "", "`FILE` with an APNs certificate and its key (PEM or .p12)")
	fs.StringVar(&c.passwordFile, "password-file", "", "`FILE` with the password of a .p12")
	fs.StringVar(&c.set, "name", "", "`NAME` of one of several credentials of the platform")
	fs.Var(&c.appIDs, "app-id", "an identity (`ID`) that this credential serves; none: those that no other set names")
	fs.BoolVar(&c.remove, "remove", false, "take the credential away")
	fs.BoolVar(&c.sandbox, "sandbox", false, "it is the credential of a sandbox vendor")
	c.members = make(map[string]*string)
	for name, member := range map[string]string{
		"key-id": "keyId", "team-id": "teamId", "environment": "environment",
		"package-sid": "packageSid", "tenant-id": "tenantId", "client-id": "clientId",
	} {
		c.members[member] = fs.String(name, "", member+" of the credential")
	}
}

// body is the credential as the API takes it. Keys and secrets come from files:
// a command line is seen by every user of the machine.
func (c *credentialFlags) body() (map[string]any, error) {
	if c.platform == "" {
		return nil, usagef("name the push service with --platform ios, android or windows")
	}
	body := map[string]any{}
	for member, value := range c.members {
		if *value != "" {
			body[member] = *value
		}
	}
	if c.sandbox {
		body["sandbox"] = true
	}
	key := "key"
	if strings.EqualFold(c.platform, "android") {
		key = "serviceAccount"
	}
	if len(c.appIDs) > 0 {
		body["appIds"] = c.appIDs
	}
	for member, file := range map[string]string{key: c.file, "secret": c.secretFile, "certificate": c.certificate, "password": c.passwordFile} {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		body[member] = strings.TrimSpace(string(text))
		if member == "certificate" && !bytes.Contains(text, []byte("-----BEGIN")) { // PKCS #12
			body[member] = base64.StdEncoding.EncodeToString(text)
		}
	}
	return body, nil
}
