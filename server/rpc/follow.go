package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parleymesh/parley/server/verb"
	"github.com/parleymesh/parley/server/watch"
)

// A server has firstFrame to begin with, which includes its own wait for a leader; after that it says something every beat.
const firstFrame = verbHold + 3*time.Second

// verbHold is for how long a server waits for a leader at the most, by default.
const verbHold = 7 * time.Second

// behindError means that a server does not know yet what another has told before.
type behindError struct {
	addr       string
	have, seen uint64
}

// Error implements error.
func (e *behindError) Error() string {
	return fmt.Sprintf("server %s has come to index %d, while %d has been seen", e.addr, e.have, e.seen)
}

// follow watches a query at one server and applies what it says to the feed's view, until that ends. A server that is
// behind what the view shows is refused, unless that is said to be fine. Began tells whether there was a first answer.
func (l *link) follow(ctx context.Context, e verb.Envelope, mode verb.Mode, f *feed, behindIsFine bool) (began bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(firstFrame, cancel)
	defer silent.Stop()
	s, err := l.stream(ctx, methodWatch, e, verb.Options{Mode: mode, Tenant: e.Tenant})
	if err != nil {
		return false, err
	}
	defer s.close()
	for {
		fr, err := s.next()
		if err != nil {
			return began, err
		}
		silent.Reset(3 * beat)
		switch {
		case fr.Beat && began:
			f.hear(fr)
			continue
		case fr.Beat:
			continue
		case !began && !fr.Reset:
			return false, &transportError{fmt.Errorf("server %s: its first answer is a change", l.addr), true}
		}
		if state, ok := f.view.State(); !began && !behindIsFine && ok && fr.Index < state.Index {
			return false, &behindError{l.addr, fr.Index, state.Index}
		}
		began = true
		f.hear(fr)
		f.view.Apply(watch.Frame[*verb.Row]{Index: fr.Index, Reset: fr.Reset, Upserts: fr.rows(), Deletes: fr.Deletes})
	}
}

// again tells whether the same may be asked of another server after err, or of the same a little later.
func again(err error) bool {
	var broken *transportError
	return errors.As(err, &broken) || errors.Is(err, errGaveUp) || verb.Retriable(err)
}

// unanswered turns the failure of a transport into what it means to who asked: nothing was done, or it is not known
// whether a command was.
func unanswered(err error, command bool) error {
	var broken *transportError
	if !errors.As(err, &broken) && !errors.Is(err, errGaveUp) {
		return err
	}
	if command && (broken == nil || broken.sent) {
		return &remoteError{text: "it is not known whether the write was carried out: " + err.Error(), kind: verb.ErrUnknownOutcome}
	}
	return &remoteError{text: "no server answers: " + err.Error(), kind: verb.ErrNoLeader}
}
