package gossip

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/parleymesh/parley/api"
)

// A key is brought to a running pool in three steps: all members learn it, all encrypt by it, all forget the one before. Each member
// keeps its keys, so that one that was restarted meanwhile still understands the others.

// Keys tells which keys the members know, and by which they encrypt.
func (p *Pool) Keys(relay uint8) (api.KeyringResponse, error) {
	return p.keys(func(m *serf.KeyManager, o *serf.KeyRequestOptions) (*serf.KeyResponse, error) {
		return m.ListKeysWithOptions(o)
	}, relay)
}

// InstallKey has all members learn a key.
func (p *Pool) InstallKey(key string, relay uint8) (api.KeyringResponse, error) {
	if err := validKey(key); err != nil {
		return api.KeyringResponse{}, err
	}
	return p.keys(func(m *serf.KeyManager, o *serf.KeyRequestOptions) (*serf.KeyResponse, error) {
		return m.InstallKeyWithOptions(key, o)
	}, relay)
}

// UseKey has all members encrypt by a key that all of them know. Were there one that does not, it would be cut off from the others.
func (p *Pool) UseKey(key string, relay uint8) (api.KeyringResponse, error) {
	if err := validKey(key); err != nil {
		return api.KeyringResponse{}, err
	}
	have, err := p.Keys(relay)
	if err != nil {
		return have, err
	}
	if n := have.Keys[key]; n < have.NumNodes {
		return have, api.Errorf(http.StatusInternalServerError,
			"%d of %d members know this key, and the others would be cut off: install it first (parley keyring -install)", n, have.NumNodes)
	}
	return p.keys(func(m *serf.KeyManager, o *serf.KeyRequestOptions) (*serf.KeyResponse, error) {
		return m.UseKeyWithOptions(key, o)
	}, relay)
}

// RemoveKey has all members forget a key by which none encrypts.
func (p *Pool) RemoveKey(key string, relay uint8) (api.KeyringResponse, error) {
	if err := validKey(key); err != nil {
		return api.KeyringResponse{}, err
	}
	return p.keys(func(m *serf.KeyManager, o *serf.KeyRequestOptions) (*serf.KeyResponse, error) {
		return m.RemoveKeyWithOptions(key, o)
	}, relay)
}

// validKey does not repeat the key: it is a secret, even with a typing error.
func validKey(key string) error {
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return api.Errorf(http.StatusInternalServerError, "the key is not in base64, parley keygen makes one: %v", err)
	}
	if err := memberlist.ValidateKey(raw); err != nil {
		return api.Errorf(http.StatusInternalServerError, "the key has %d bytes: want 16, 24 or 32; parley keygen makes one", len(raw))
	}
	return nil
}

func (p *Pool) keys(ask func(*serf.KeyManager, *serf.KeyRequestOptions) (*serf.KeyResponse, error), relay uint8) (api.KeyringResponse, error) {
	done, err := p.call()
	if err != nil {
		return api.KeyringResponse{}, err
	}
	defer done()
	in, err := ask(p.serf.KeyManager(), &serf.KeyRequestOptions{RelayFactor: relay})
	p.saveKeys()
	if in == nil {
		in = &serf.KeyResponse{}
	}
	out := api.KeyringResponse{
		WAN: p.opts.kind.name == WAN, Datacenter: p.opts.Datacenter,
		Messages: in.Messages, Keys: in.Keys, PrimaryKeys: in.PrimaryKeys, NumNodes: in.NumNodes,
	}
	if err != nil {
		return out, p.keysError(err, in.Messages)
	}
	return out, nil
}

// KeysError is what went wrong with keys: first in which pool, then which member says what.
type KeysError []string

// Error is on one line. Operators are told of all pools together, by the HTTP API.
func (e KeysError) Error() string { return strings.Join(e, "; ") }

// Title is what the pool is called to operators.
func (p *Pool) Title() string {
	if p.opts.kind.name == WAN {
		return "WAN"
	}
	return p.opts.Datacenter + " (LAN)"
}

func (p *Pool) keysError(err error, messages map[string]string) KeysError {
	said := KeysError{fmt.Sprintf("%s error: %v", p.Title(), err)}
	for _, node := range slices.Sorted(maps.Keys(messages)) {
		said = append(said, node+": "+messages[node])
	}
	return said
}

// saveKeys keeps this agent's keys, the one that encrypts first, if they are others than those kept. What fails is tried again.
func (p *Pool) saveKeys() {
	if p.ring == nil || p.opts.SaveKeys == nil {
		return
	}
	p.keysMu.Lock()
	defer p.keysMu.Unlock()
	first := p.ring.GetPrimaryKey()
	now := [][]byte{first}
	for _, key := range p.ring.GetKeys() {
		if !bytes.Equal(key, first) {
			now = append(now, key)
		}
	}
	if slices.EqualFunc(now, p.kept, bytes.Equal) {
		return
	}
	err := p.opts.SaveKeys(now)
	if err == nil {
		p.kept, p.keptErr = now, ""
		return
	}
	if msg := err.Error(); msg != p.keptErr {
		p.keptErr = msg
		p.log.Error("the keys of gossip are not kept: after a restart this agent may not understand the others; it is tried again", "err", err)
	}
}
