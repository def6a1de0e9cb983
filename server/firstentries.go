package server

import (
	"context"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/configentry"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/state"
)

// firstEntriesLoop writes the config entries of this server's configuration that are not there: whoever asks the leader for a proxy's
// defaults then gets them. What is there stays, whatever the configuration says. One that is refused is named, and holds up nothing.
func firstEntriesLoop(entries []api.ConfigEntry) core.Loop {
	return core.Loop{Name: "first-config-entries", Prepare: func(ctx context.Context, t *core.Term) error {
		for _, e := range entries {
			if state.ConfigEntry(t.Read(), e.EntryKind(), e.EntryName()) != nil {
				continue
			}
			_, err := t.Apply(ctx, configentry.NewPut(e, new(uint64)))
			switch {
			case ctx.Err() != nil:
				return ctx.Err() // another server leads
			case err != nil:
				t.Log.Error("a config entry of config_entries.bootstrap is refused and left out", "kind", e.EntryKind(), "name", e.EntryName(), "err", err)
			default:
				t.Log.Info("config entry written, as config_entries.bootstrap has it", "kind", e.EntryKind(), "name", e.EntryName())
			}
		}
		return nil
	}}
}
