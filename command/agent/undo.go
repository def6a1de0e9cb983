package agent

import (
	"context"
	"errors"
	"fmt"
)

// undo is what has been started, in order, with how to stop it.
type undo []step

type step struct {
	name string
	stop func(ctx context.Context) error
}

// push remembers how to stop what has just been started.
func (u *undo) push(name string, stop func(ctx context.Context) error) {
	*u = append(*u, step{name, stop})
}

// run stops everything, the last started first, each even when one before it failed.
func (u *undo) run(ctx context.Context) error {
	var errs []error
	for i := len(*u) - 1; i >= 0; i-- {
		s := (*u)[i]
		if err := s.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
		}
	}
	*u = nil
	return errors.Join(errs...)
}

// closing makes a stop of a Close that needs no context.
func closing(f func() error) func(context.Context) error {
	return func(context.Context) error { return f() }
}
