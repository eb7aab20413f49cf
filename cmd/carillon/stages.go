package main

import (
	"context"
	"errors"
	"fmt"
)

// stage is one long-lived part of the process. Stages start in order and stop
// in the reverse order, each only when the one after it has ended: so the doors
// close before the writer flushes, and the store outlives whoever writes to it.
type stage struct {
	name string
	// run works until its context ends. Nil for a part that needs only close.
	run func(ctx context.Context) error
	// close frees what the stage holds, after run returned; may be nil.
	close func() error
}

// running is a started stage.
type running struct {
	stage

	stop context.CancelFunc
	done chan error
}

// runStages starts the stages, calls ready, waits until ctx ends or a stage
// ends by itself, and stops all of them. It returns what went wrong.
func runStages(ctx context.Context, stages []stage, ready func()) error {
	failed := make(chan error, len(stages))
	started := make([]running, 0, len(stages))
	for _, st := range stages {
		started = append(started, start(ctx, st, failed))
	}
	ready()
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	for i := len(started) - 1; i >= 0; i-- {
		errs = append(errs, started[i].end())
	}
	return errors.Join(errs...)
}

// start runs a stage on a context of its own, which outlives ctx: stages are
// stopped one by one.
func start(ctx context.Context, st stage, failed chan<- error) running {
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := running{stage: st, stop: stop, done: make(chan error, 1)}
	if st.run == nil {
		r.done <- nil
		return r
	}
	go func() {
		err := st.run(own)
		if own.Err() == nil { // nobody told it to stop
			if err == nil {
				err = errors.New("ended by itself")
			}
			failed <- fmt.Errorf("%s: %w", st.name, err)
			err = nil
		}
		r.done <- err
	}()
	return r
}

// end stops a stage and waits for it.
func (r *running) end() error {
	r.stop()
	err := <-r.done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if r.close != nil {
		err = errors.Join(err, r.close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}
