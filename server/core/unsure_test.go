package core

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// full is a way to a leader that first does not hear whether a write was carried out, and then has no room.
type full struct {
	others
	asked int
}

func (f *full) ApplyEnvelope(context.Context, verb.Envelope) (verb.Result, error) {
	f.asked++
	if f.asked == 1 {
		return verb.Result{}, verb.ErrUnknownOutcome
	}
	return verb.Result{}, api.Errorf(http.StatusInsufficientStorage, "nothing was changed: no room")
}

func TestRefusalAfterAnUnknownOutcomePromisesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 3)
		f := c.follower()
		f.opts.Leader = &full{}
		_, err := f.Apply(t.Context(), verb.Options{}, put{Key: "k"})
		if api.StatusOf(err) != http.StatusInsufficientStorage || !strings.HasPrefix(err.Error(), "it is not known") {
			t.Errorf("%v", err)
		}
		c.close()
	})
}
