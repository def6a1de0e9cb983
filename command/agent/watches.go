package agent

import (
	"context"
	"fmt"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/watcher"
)

// startWatches runs what the configuration wants to be called when something changes.
func (a *Agent) startWatches() error {
	client, err := a.inside.client()
	if err != nil {
		return err
	}
	watches, err := parseWatches(a.cfg)
	if err != nil {
		return err
	}
	a.watches = watcher.NewGroup(client, func() string { return a.cfg.ACL.Tokens.Default }, a.log)
	a.watches.Set(watches)
	a.undo.push("watches", func(context.Context) error {
		a.watches.Close()
		client.Close()
		return nil
	})
	return nil
}

// parseWatches reads watches that the configuration has checked.
func parseWatches(c *config.Config) ([]*watcher.Watch, error) {
	var out []*watcher.Watch
	for i, parameters := range c.Watches {
		w, err := watcher.Parse(parameters)
		if err != nil {
			return nil, fmt.Errorf("watches: watch %d: %w", i+1, err)
		}
		out = append(out, w)
	}
	return out, nil
}
