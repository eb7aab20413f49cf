package main

import (
	"carillon"
	"carillon/provider"
	"carillon/provider/sandbox"
)

// lendCredentials gives an app the sandbox's credentials where it has none.
func lendCredentials(a *carillon.App, c sandbox.Credentials) {
	for _, lent := range []carillon.Credential{
		{Platform: carillon.IOS, File: c.APNs.KeyFile, KeyID: c.APNs.KeyID, TeamID: c.APNs.TeamID, Environment: "production"},
		{Platform: carillon.Android, File: c.FCM.File},
		{Platform: carillon.Windows, PackageSID: c.WNS.PackageSID, Secret: c.WNS.Secret},
	} {
		if len(a.CredentialsFor(lent.Platform)) == 0 {
			lent.Sandbox = true
			a.Credentials = append(a.Credentials, lent)
		}
	}
}

// reach points the vendors' clients to the sandbox, where the configuration
// does not point them elsewhere.
func reach(p *provider.Config, box *sandbox.Server) {
	at, ca := box.Addrs(), box.CAFile()
	or := func(v *string, to string) {
		if *v == "" {
			*v = to
		}
	}
	or(&p.APNs.BaseURL, "https://"+at.APNs)
	or(&p.APNs.CAFile, ca)
	or(&p.FCM.BaseURL, "https://"+at.FCM)
	or(&p.FCM.CAFile, ca)
	or(&p.WNS.DialAddress, at.WNS)
	or(&p.WNS.TokenURL, "https://"+at.Token+"/accesstoken.srf")
	or(&p.WNS.CAFile, ca)
}
