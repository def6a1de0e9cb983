package http

import (
	"net/http"
	"strconv"

	"github.com/parleymesh/parley/api"
)

// Keyring is the keys that encrypt gossip. Each call asks all members and returns what they said, also with an error.
type Keyring interface {
	Keys(relay uint8) (api.KeyringResponse, error)
	InstallKey(key string, relay uint8) (api.KeyringResponse, error)
	UseKey(key string, relay uint8) (api.KeyringResponse, error)
	RemoveKey(key string, relay uint8) (api.KeyringResponse, error)
}

var keyringRoutes = []route{
	on("/v1/operator/keyring", get(keyringList), post(changeKey(Keyring.InstallKey)), put(changeKey(Keyring.UseKey)), del(changeKey(Keyring.RemoveKey))),
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
	if _, err := r.yes("local-only"); err != nil { // the members of this datacenter are all that there are
		return nil, err
	}
	if err := r.need("keyring", "", api.Read); err != nil {
		return nil, err
	}
	found, err := r.s.opts.Keyring.Keys(relay)
	if err != nil {
		return nil, err
	}
	return []api.KeyringResponse{found}, nil
}

func changeKey(do func(k Keyring, key string, relay uint8) (api.KeyringResponse, error)) handler {
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
		_, err = do(r.s.opts.Keyring, body.Key, relay)
		return nil, err
	}
}
