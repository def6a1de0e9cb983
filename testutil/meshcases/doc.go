// Package meshcases says what every data plane of the mesh must do, as one table of cases: real Envoy runs them, and the
// embedded proxy runs them. A case sees two services and their sidecars, whose snapshots are made by hand: no agent is needed.
package meshcases

import (
	"cmp"
	"testing"
	"time"

	"github.com/parleymesh/parley/proxy/snapshot"
)

// Dataplane is a kind of sidecar. One that has a method ConnectsEarly, and returns true, connects to its service before its caller has
// proved who it is; the caller is sent nothing all the same.
type Dataplane interface {
	// Start runs the sidecar of a proxy, whose snapshots come from the source, until the test ends. It need not wait for it to
	// be ready.
	Start(t testing.TB, source snapshot.Source, proxyID string)
	// Drain is how long a connection may live on after what allowed it was taken away.
	Drain() time.Duration
}

// Case is one thing that a data plane must do.
type Case struct {
	Name string
	Run  func(w *World)
}

// Run runs all cases.
func Run(t *testing.T, d Dataplane) {
	for _, c := range Cases {
		t.Run(c.Name, func(t *testing.T) { c.Run(NewWorld(t, d)) })
	}
}

// HTTPCase is one thing that a data plane must do that knows requests.
type HTTPCase struct {
	Name     string
	Protocol string // empty: http
	Run      func(w *HTTPWorld)
}

// RunHTTP runs all cases of data planes that know requests.
func RunHTTP(t *testing.T, d Dataplane) {
	for _, c := range HTTPCases {
		t.Run(c.Name, func(t *testing.T) { c.Run(NewHTTPWorld(t, d, cmp.Or(c.Protocol, "http"))) })
	}
}
