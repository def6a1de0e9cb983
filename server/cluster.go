package server

import (
	"context"
	"fmt"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// A cluster is known by its trust domain, which its first leader makes once. Each server keeps the name beside its vote and
// tells it to the others from its start on: two clusters that meet in one pool then leave one another's servers alone. Raft
// cannot tell them apart. Of two leaders the one with the higher term would overwrite what the other has acknowledged.

// clusterKey is where a server keeps the name of its cluster.
var clusterKey = []byte("ParleyCluster")

// tellCluster tells the others to which cluster this server belongs, or that it is none. One that has founded a cluster or was
// taken into one, and does not know its name yet, says nothing.
func (s *Server) tellCluster() (known string, err error) {
	name, err := s.storage.stable.Get(clusterKey)
	if err != nil && err.Error() != "not found" { // all that raft, too, asks of a store
		return "", fmt.Errorf("read to which cluster this server belongs: %w", err)
	}
	if len(name) > 0 {
		s.opts.Members.Belongs(string(name))
		return string(name), nil
	}
	used, err := s.storage.used()
	if err != nil {
		return "", err
	}
	if !used {
		s.opts.Members.Belongs(NoCluster)
	}
	return "", nil
}

// learnCluster keeps to what the state says of the cluster to which this server belongs: at first it says nothing, and a snapshot
// of another cluster's may be restored.
func (s *Server) learnCluster(ctx context.Context, known string) {
	for ctx.Err() == nil {
		known = s.followCluster(ctx, known)
		// What was followed at a leader, as by a server that has nothing yet, ends with that one's leadership.
		select {
		case <-time.After(clusterPause):
		case <-ctx.Done():
		}
	}
}

// clusterPause keeps a server that stops from asking itself over and over.
const clusterPause = 100 * time.Millisecond

// followCluster keeps to what the state says until the watch ends, and returns what it said last.
func (s *Server) followCluster(ctx context.Context, known string) string {
	r, err := s.Watch(ctx, verb.Options{Mode: verb.Stale}, ca.Roots{})
	if err != nil {
		return known
	}
	defer r.Close()
	for {
		a, err := r.Next(ctx)
		if err != nil {
			return known
		}
		for _, roots := range verb.Values[*api.CARoots](a) {
			if roots.TrustDomain == "" || roots.TrustDomain == known {
				continue
			}
			known = roots.TrustDomain
			if err := s.storage.stable.Set(clusterKey, []byte(roots.TrustDomain)); err != nil {
				s.log.Error("the name of the cluster is not kept, it is asked for again at the next start", "err", err)
			}
			s.opts.Members.Belongs(roots.TrustDomain)
		}
	}
}

// cluster names the cluster whose state this is; empty before its first leader has made it.
func cluster(tx *state.Tx) string {
	for r := range state.Roots(tx) {
		if r.Public.Active {
			return r.TrustDomain
		}
	}
	return ""
}
