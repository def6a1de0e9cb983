package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
)

// Publisher answers polls for snapshots, for proxies that do not run in the agent's process. See Remote for the other side.
type Publisher struct{ Source Source }

// Snapshot waits for a snapshot whose hash is another than the one given, and returns its JSON and its hash. It holds a private
// key. When ctx ends first, it fails with the context's error: then nothing is new.
func (p Publisher) Snapshot(ctx context.Context, proxyID, token, hash string) (body []byte, newHash string, err error) {
	stream, err := p.Source.Subscribe(ctx, proxyID, token)
	if err != nil {
		return nil, "", err
	}
	defer stream.Close()
	for {
		s, err := stream.Next(ctx)
		if err != nil {
			return nil, "", err
		}
		if newHash = s.Hash(); newHash == hash {
			continue
		}
		if body, err = json.Marshal(s); err != nil {
			return nil, "", fmt.Errorf("encode the snapshot of proxy %q: %w", proxyID, err)
		}
		return body, newHash, nil
	}
}
