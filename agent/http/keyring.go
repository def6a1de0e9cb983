package http

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/operator"
	"github.com/parleymesh/parley/server/verb"
)

// Keyring is the keys that encrypt the gossip of this agent's pools.
type Keyring interface {
	// Keyring asks the members of a pool for their keys, or changes them. A pool that this agent is not in is absent.
	Keyring(q verb.KeyringRequest) verb.KeyringReply
}

var keyringRoutes = []route{
	on("/v1/operator/keyring", get(keyringList), post(changeKey(verb.KeysInstall)), put(changeKey(verb.KeysUse)), del(changeKey(verb.KeysRemove))),
}

// maxRelay is through how many others a member's answer may be sent once more.
const maxRelay = 5

func (r *request) relay() (uint8, error) {
	text := r.param("relay-factor")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, api.Errorf(http.StatusBadRequest, "Error parsing relay factor: %v", err)
	case n < 0 || n > maxRelay:
		return 0, api.Errorf(http.StatusBadRequest, "Invalid relay-factor: Relay factor must be in range: [0, %d]", maxRelay)
	}
	return uint8(n), nil
}

func keyringList(r *request) (any, error) {
	relay, err := r.relay()
	if err != nil {
		return nil, err
	}
	local, err := r.yes("local-only")
	if err != nil {
		return nil, err
	}
	if err := r.need("keyring", "", api.Read); err != nil {
		return nil, err
	}
	return orError(r.keyrings(verb.KeyringRequest{Do: verb.KeysList, Relay: relay}, local))
}

func changeKey(do string) handler {
	return func(r *request) (any, error) {
		var body struct{ Key string }
		if err := r.decode(&body); err != nil {
			return nil, err
		}
		relay, err := r.relay()
		if err != nil {
			return nil, err
		}
		if r.flag("local-only") {
			return nil, api.Errorf(http.StatusBadRequest, "Invalid use of local-only: it is for listing keys (GET)")
		}
		if err := r.need("keyring", "", api.Write); err != nil {
			return nil, err
		}
		_, err = r.keyrings(verb.KeyringRequest{Do: do, Key: body.Key, Relay: relay}, false)
		return nil, err
	}
}

// keyrings does the same with all pools: that of the servers of all datacenters, that of this datacenter, and those of the others. What
// this agent can do itself needs no server. Local: only its own datacenter.
func (r *request) keyrings(q verb.KeyringRequest, local bool) ([]api.KeyringResponse, error) {
	found := []api.KeyringResponse{}
	var said []string
	add := func(a verb.KeyringReply) {
		said = append(said, a.Errors...)
		if !a.Absent && len(a.Errors) == 0 {
			found = append(found, a.Response)
		}
	}
	if !local {
		add(r.keyringWAN(q))
	}
	add(r.s.opts.Keyring.Keyring(q))
	if !local {
		others, err := r.datacenters(r.Context())
		if err != nil {
			said = append(said, fmt.Sprintf("the other datacenters are not known: %v", err))
		}
		for _, dc := range others {
			if dc != r.s.opts.Datacenter {
				add(r.keyringOf(dc, q, dc+" (LAN)"))
			}
		}
	}
	if len(said) > 0 {
		noun := "errors"
		if len(said) == 1 {
			noun = "error"
		}
		return nil, api.Errorf(http.StatusInternalServerError, "%d %s occurred:\n\t* %s\n\n", len(said), noun, strings.Join(said, "\n\t* "))
	}
	return found, nil
}

// keyringWAN does it with the pool of the servers of all datacenters, through a server where this agent is none.
func (r *request) keyringWAN(q verb.KeyringRequest) verb.KeyringReply {
	q.WAN = true
	if a := r.s.opts.Keyring.Keyring(q); !a.Absent {
		return a
	}
	return r.keyringOf("", q, "WAN")
}

// keyringOf has the leader of a datacenter do it.
func (r *request) keyringOf(dc string, q verb.KeyringRequest, pool string) verb.KeyringReply {
	var a verb.KeyringReply
	result, err := r.applyAt(dc, operator.Keyring{KeyringRequest: q})
	if err == nil {
		err = result.Decode(&a)
	}
	if err != nil {
		a.Errors = append(a.Errors, fmt.Sprintf("%s error: %v", pool, err))
	}
	return a
}
