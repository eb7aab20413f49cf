package dispatch

// shutPaused is why a lane is closed whose app an administrator stopped. It is no
// state of the breaker: that goes on beside it.
const shutPaused = "paused"

// Pause stops an app, or lets it go on: nothing of it is handed to a vendor while
// it is paused. Its deliveries park, and drain in their order afterwards; what a
// vendor has already ends as it ends. Safe for concurrent use, before Run too.
func (d *Dispatcher) Pause(host string, paused bool) {
	d.mu.Lock()
	if paused {
		d.paused[host] = true
	} else {
		delete(d.paused, host)
	}
	var lanes []*lane
	for key, l := range d.lanes {
		if key.Host == host {
			lanes = append(lanes, l)
		}
	}
	d.mu.Unlock()
	for _, l := range lanes {
		l.pause(paused)
	}
}

// pause closes the lane for its app's administrator, or opens it as far as he is
// concerned.
func (l *lane) pause(paused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused.Swap(paused) != paused {
		l.changed()
	}
}

// why is why the lane is shut; l.mu is held.
func (l *lane) why() string {
	if l.paused.Load() {
		return shutPaused
	}
	return l.breaker.why
}
