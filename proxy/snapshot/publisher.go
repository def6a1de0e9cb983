package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/parleymesh/parley/api"
)

// Publisher answers polls for snapshots, for proxies that do not run in the agent's process. See Remote for the other side.
type Publisher struct{ Source Source }

// Snapshot waits for a snapshot whose hash is another than the one given, and returns its JSON, which holds a private key, and
// its hash. When ctx ends first it returns the one it has, or the context's error if there is none. A token that does not suffice is an
// error with status 403.
func (p Publisher) Snapshot(ctx context.Context, proxyID, token, hash string) (body []byte, newHash string, err error) {
	stream, err := p.Source.Subscribe(ctx, proxyID, token)
	if err != nil {
		return nil, "", refusal(err)
	}
	defer stream.Close()
	var last *Snapshot
	for newHash = hash; newHash == hash || last == nil; {
		s, err := stream.Next(ctx)
		if err != nil && ctx.Err() != nil && last != nil {
			break
		}
		if err != nil {
			return nil, "", refusal(err)
		}
		last, newHash = s, s.Hash()
	}
	if body, err = json.Marshal(last); err != nil {
		return nil, "", fmt.Errorf("encode the snapshot of proxy %q: %w", proxyID, err)
	}
	return body, newHash, nil
}

// refusal gives a denial its status.
func refusal(err error) error {
	if errors.Is(err, ErrDenied) && api.StatusOf(err) != http.StatusForbidden {
		return fmt.Errorf("%w: %w", ErrDenied, api.Errorf(http.StatusForbidden, "Permission denied"))
	}
	return err
}
