package main

import "carillon"

// The sample app of all-in-one mode: `serve` onboards it, with the sandbox's
// credentials, when the configuration names no app.
const (
	sampleHost   = "demo.localhost"
	sampleClient = "demo-client"
	sampleBundle = "com.example.demo"
	sampleAUMID  = "Example.Demo_1!App"
)

// sampleApp is the sample app without its credentials.
func sampleApp() carillon.App {
	return carillon.App{
		Host:    sampleHost,
		Clients: []string{sampleClient},
		Identities: []carillon.Identity{
			{Platform: carillon.Windows, AppID: sampleAUMID},
			{Platform: carillon.IOS, AppID: sampleBundle},
			{Platform: carillon.Android, AppID: sampleBundle},
		},
	}
}

// realCredential tells whether any app could ring a real device.
func realCredential(apps []carillon.App) bool {
	for _, a := range apps {
		for _, c := range a.Credentials {
			if !c.Sandbox {
				return true
			}
		}
	}
	return false
}
