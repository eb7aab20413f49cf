package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"carillon"
	"carillon/provider/sandbox"
)

// demoActing is the platform of the device on which the demo user dismisses.
const demoActing = "android"

// dismissal is what became of a dismissal on one device.
type dismissal struct {
	On string `json:"on"`
	// ClearedMS is how long after the dismissal each other device was clear.
	ClearedMS map[string]float64 `json:"clearedMs"`
	order     []string
}

// dismiss lets the user dismiss a notification on one device and waits until the
// others do not show it any more.
func (d *demonstration) dismiss(ctx context.Context, user string, id carillon.ID) error {
	ctx, done := context.WithTimeout(ctx, demoWait)
	defer done()
	v := &dismissal{On: demoActing, ClearedMS: map[string]float64{}}
	from := d.s.clock.Now()
	answered := make(chan error, 1)
	go func() {
		answered <- d.ask(ctx, http.MethodPatch, "/beta/users/"+user+"/notifications/"+id.String(),
			strings.NewReader(`{"userActionState":"Dismissed","readState":true}`), d.acting, nil)
	}()
	for len(v.order) < len(demoDevices())-1 {
		for _, dev := range demoDevices() {
			if dev.platform == demoActing || slices.Contains(v.order, dev.platform) || d.shows(dev, id) {
				continue
			}
			v.order = append(v.order, dev.platform)
			v.ClearedMS[dev.platform] = d.s.clock.Now().Sub(from).Seconds() * 1000
		}
		if err := d.s.clock.Sleep(ctx, demoPoll/5); err != nil {
			return errors.Join(fmt.Errorf("only %d of %d other devices were cleared within %s", len(v.order), len(demoDevices())-1, demoWait), <-answered)
		}
	}
	if err := <-answered; err != nil {
		return fmt.Errorf("dismissing: %w", err)
	}
	d.dismissed = v
	for _, dev := range demoDevices() {
		if dev.platform == demoActing && !d.shows(dev, id) {
			return errors.New("the device on which it was dismissed got a clear, too")
		}
	}
	return nil
}

// shows tells whether a device shows a notification.
func (d *demonstration) shows(dev demoDevice, id carillon.ID) bool {
	return slices.ContainsFunc(d.s.sandbox.Tray(dev.address()), func(s sandbox.Shown) bool { return s.NotificationID == id.String() })
}

func (v *dismissal) write(w io.Writer) {
	fmt.Fprintf(w, "\nThen it is dismissed on the %s device:\n", v.On)
	for _, platform := range v.order {
		fmt.Fprintf(w, "  %6.0f ms  %-8s is clear\n", v.ClearedMS[platform], platform)
	}
}
