package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/parleymesh/parley/agent/event"
	"github.com/parleymesh/parley/agent/gossip"
	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/verb"
)

// The keys of gossip change while the agent runs, so the agent keeps them. The configuration's key is only the first.

// keyring is the file of them.
type keyring struct {
	Keys []string // in base64, the one that encrypts first
}

// The files of the two pools.
var (
	keyringLAN = filepath.Join("serf", "keyring.json")
	keyringWAN = filepath.Join("serf", "keyring-wan.json")
)

const keyringVersion = 1

func (a *Agent) keepsKeys() bool { return a.dir != nil && !a.cfg.DisableKeyringFile }

// gossipKeys returns the keys that were kept or else the configuration's; none where gossip is in the clear.
func (a *Agent) gossipKeys(file string) ([][]byte, error) {
	var kept keyring
	if a.keepsKeys() {
		if err := a.dir.ReadVersioned(file, keyringVersion, &kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("keys of gossip: %w", err)
		}
	}
	first := a.cfg.Encrypt
	switch {
	case len(kept.Keys) == 0 && first == "":
		return nil, nil
	case len(kept.Keys) == 0:
		kept.Keys = []string{first}
	case first != "" && !slices.Contains(kept.Keys, first):
		a.log.Warn("encrypt is not among the keys that this agent has learned since, and has no effect: change keys with parley keyring, "+
			"or stop the agent and remove the file to begin with encrypt", "file", a.dir.Path(file))
	}
	var out [][]byte
	for _, text := range kept.Keys {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New("keys of gossip: one of them is not in base64") // never show it
		}
		out = append(out, key)
	}
	return out, nil
}

func (a *Agent) saveGossipKeys(file string, keys [][]byte) error {
	var out keyring
	for _, key := range keys {
		out.Keys = append(out.Keys, base64.StdEncoding.EncodeToString(key))
	}
	return a.dir.WriteVersioned(file, keyringVersion, out)
}

// Keyring implements agenthttp.Keyring.
func (p pools) Keyring(q verb.KeyringRequest) verb.KeyringReply {
	pool, err := p.of(q.WAN)
	if err != nil {
		return verb.KeyringReply{Absent: true}
	}
	var found api.KeyringResponse
	switch q.Do {
	case verb.KeysInstall:
		found, err = pool.InstallKey(q.Key, q.Relay)
	case verb.KeysUse:
		found, err = pool.UseKey(q.Key, q.Relay)
	case verb.KeysRemove:
		found, err = pool.RemoveKey(q.Key, q.Relay)
	default:
		found, err = pool.Keys(q.Relay)
	}
	out := verb.KeyringReply{Response: found}
	var said gossip.KeysError
	switch {
	case errors.As(err, &said):
		out.Errors = said
	case err != nil:
		out.Errors = []string{pool.Title() + " error: " + err.Error()}
	}
	return out
}

// gossips is what whoever is not in this server's pools can have it do there.
type gossips struct {
	pools
	events *event.Log
}

// Fire implements server.Gossip.
func (g gossips) Fire(e api.UserEvent) (api.UserEvent, error) { return g.events.Fire(e) }
