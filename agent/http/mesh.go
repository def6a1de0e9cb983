package http

import (
	"context"

	"github.com/parleymesh/parley/api"
)

// Leaves holds the certificates of this host's services.
type Leaves interface {
	// Leaf returns the service's current certificate with its key, which is signed at the first call, and a channel that is
	// closed when another has replaced it. The token must have service:write, which is judged where certificates are
	// signed.
	Leaf(ctx context.Context, service, token string) (leaf api.Leaf, replaced <-chan struct{}, err error)
}

// Proxies holds what this host's sidecars need to know.
type Proxies interface {
	// Snapshot waits until the proxy's snapshot has another hash than the given one, which is empty for none, and returns
	// it encoded as JSON, with its hash. When ctx ends first it returns the same as before, or ctx's error when there was
	// none. It holds the private key, so the token must have service:write on the proxy's service, or the error has
	// status 403. An unknown proxy is an error with status 404.
	Snapshot(ctx context.Context, proxyID, token, hash string) (body []byte, newHash string, err error)
}
