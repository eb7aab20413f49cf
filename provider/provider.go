// Package provider chooses the vendor for a lane.
//
// In comes the name of a lane (platform and app); out goes a [carillon.Sender]
// under that app's credential, which the caller runs. The package itself starts
// nothing and keeps nothing, so there is nothing to stop.
package provider

import (
	"context"
	"errors"
	"log/slog"

	"carillon"
	"carillon/provider/apns"
	"carillon/provider/fcm"
	"carillon/provider/wns"
)

// Vendors opens senders. It is safe for concurrent use.
type Vendors struct {
	cfg   Config
	apps  func() *carillon.Apps
	clock *carillon.Clock
	log   *slog.Logger
}

// New makes Vendors that look credentials up in what apps returns at the time.
func New(cfg Config, apps func() *carillon.Apps, clock *carillon.Clock, log *slog.Logger) *Vendors {
	return &Vendors{cfg: cfg, apps: apps, clock: clock, log: log}
}

// Open makes the sender of a lane; the caller runs it. The error is a
// *carillon.Error that names app and platform: CodeNotFound when there is no
// such app or it has no credential for the platform, CodeInvalidRequest when the
// credential or the vendor's configuration is unusable, CodeNotImplemented for
// platforms that are not pushed to.
func (v *Vendors) Open(lane carillon.Lane, to carillon.Receiver) (carillon.Sender, error) {
	app, ok := v.apps().Host(lane.Host)
	if !ok {
		return nil, carillon.Errorf(carillon.CodeNotFound, "apps", "there is no app %s", lane.Host)
	}
	switch lane.Platform {
	case carillon.IOS, carillon.Android, carillon.Windows:
	default:
		return nil, carillon.Errorf(carillon.CodeNotImplemented, "platform", "app %s: nothing is pushed to %s endpoints", lane.Host, lane.Platform)
	}
	creds := app.CredentialsFor(lane.Platform)
	if len(creds) == 0 {
		return nil, carillon.Errorf(carillon.CodeNotFound, "credentials", "app %s has no credential for %s: give it one, pushes wait until then", lane.Host, lane.Platform)
	}
	log := v.log.With("app", lane.Host, "platform", lane.Platform.String())
	var usable []carillon.Credential
	var senders []carillon.Sender
	var faults error
	for _, cred := range creds {
		s, err := v.open(app, lane.Platform, cred, to, log)
		if err != nil {
			faults = errors.Join(faults, err)
			log.Error("a credential cannot be used; put it again", "set", cred.Set, "error", err)
			continue
		}
		usable, senders = append(usable, cred), append(senders, s)
	}
	switch len(senders) {
	case 0:
		e := carillon.Errorf(carillon.CodeInvalidRequest, "credentials", "app %s, %s: the way to the vendor cannot be opened", lane.Host, lane.Platform)
		e.Cause = faults
		return nil, e
	case 1:
		return senders[0], nil
	}
	return newSets(usable, senders), nil
}

// Check tells whether a credential could be used: its key can be read, and the
// vendor's token endpoint, where it has one, gives a token for it. APNs has no
// call that only checks.
func (v *Vendors) Check(ctx context.Context, cred carillon.Credential) error {
	s, err := v.open(&carillon.App{}, cred.Platform, cred, nobody{}, v.log)
	if err != nil {
		return err
	}
	if asked, ok := s.(checker); ok {
		return asked.Check(ctx)
	}
	return nil
}

// checker is a sender whose vendor can be asked whether it knows a credential.
type checker interface {
	Check(ctx context.Context) error
}

// nobody waits for the answers of a sender that only checks.
type nobody struct{}

// Answers never come: nothing is sent.
func (nobody) Answers([]carillon.Answer) {}

// RoomAgain is nobody's business.
func (nobody) RoomAgain() {}

func (v *Vendors) open(app *carillon.App, p carillon.Platform, cred carillon.Credential, to carillon.Receiver, log *slog.Logger) (carillon.Sender, error) {
	switch p { // a nil *Sender must not become a Sender
	case carillon.IOS:
		s, err := apns.New(v.cfg.APNs, cred, to, v.clock, log, app.AppIDs(carillon.IOS)...)
		if err != nil {
			return nil, err
		}
		return s, nil
	case carillon.Android:
		s, err := fcm.New(v.cfg.FCM, cred, to, v.clock, log)
		if err != nil {
			return nil, err
		}
		return s, nil
	default:
		s, err := wns.New(v.cfg.WNS, cred, to, v.clock, log)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
}

// Fit is the kind that a push becomes at its endpoint's vendor: a tap where its
// content would not fit. It asks nobody.
func Fit(p *carillon.Push) carillon.Kind {
	switch p.Endpoint.Platform {
	case carillon.IOS:
		return apns.Fit(p)
	case carillon.Android:
		return fcm.Fit(p)
	case carillon.Windows:
		return wns.Fit(p)
	case carillon.PlatformNone, carillon.Web, carillon.Polling:
	}
	return p.Kind
}
