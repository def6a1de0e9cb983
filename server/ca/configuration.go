package ca

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/state"
	"github.com/parleymesh/parley/server/verb"
)

// builtinName is the built-in provider's name in the public configuration.
const builtinName = "consul"

// The settings of the built-in provider that say how long certificates last, with their defaults.
const (
	leafTTL         = "LeafCertTTL"
	intermediateTTL = "IntermediateCertTTL"
	rootTTL         = "RootCertTTL"
)

const (
	defaultLeafTTL         = "72h"
	defaultIntermediateTTL = "8760h"
	defaultRootTTL         = "87600h"
)

// A shorter life would keep every proxy renewing; a longer one would make revocation by expiry worthless.
const (
	minLeafTTL = time.Hour
	maxLeafTTL = 365 * 24 * time.Hour
)

// DefaultConfiguration is how certificates are signed unless somebody says otherwise.
func DefaultConfiguration() api.CAConfiguration {
	return api.CAConfiguration{Provider: builtinName, Config: map[string]any{
		leafTTL: defaultLeafTTL, intermediateTTL: defaultIntermediateTTL, rootTTL: defaultRootTTL,
	}}
}

// lifetimes is how long certificates last.
type lifetimes struct{ leaf, intermediate, root time.Duration }

// readLifetimes reads and judges the lifetimes of a configuration. What is absent has its default.
func readLifetimes(config map[string]any) (lifetimes, error) {
	var l lifetimes
	for _, s := range []struct {
		name, byDefault string
		to              *time.Duration
	}{
		{leafTTL, defaultLeafTTL, &l.leaf}, {intermediateTTL, defaultIntermediateTTL, &l.intermediate}, {rootTTL, defaultRootTTL, &l.root},
	} {
		value, ok := config[s.name]
		if !ok || value == nil || value == "" {
			value = s.byDefault
		}
		d, err := duration(value)
		if err != nil {
			return l, fmt.Errorf("%s: %w", s.name, err)
		}
		*s.to = d
	}
	switch {
	case l.leaf < minLeafTTL:
		return l, fmt.Errorf("leaf cert TTL must be greater or equal than %s", minLeafTTL)
	case l.leaf > maxLeafTTL:
		return l, fmt.Errorf("leaf cert TTL must be less or equal than %s", maxLeafTTL)
	case l.root <= l.leaf:
		return l, fmt.Errorf("%s (%s) must be greater than %s (%s)", rootTTL, l.root, leafTTL, l.leaf)
	case l.root <= l.intermediate:
		return l, fmt.Errorf("%s (%s) must be greater than %s (%s)", rootTTL, l.root, intermediateTTL, l.intermediate)
	}
	return l, nil
}

// duration reads a length of time: text such as "72h", or nanoseconds.
func duration(v any) (time.Duration, error) {
	switch v := v.(type) {
	case string:
		return time.ParseDuration(v)
	case int64:
		return time.Duration(v), nil
	case uint64:
		if v <= math.MaxInt64 {
			return time.Duration(v), nil
		}
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<62 {
			return time.Duration(v), nil
		}
	}
	return 0, fmt.Errorf(`%v is no length of time, write it as "72h"`, v)
}

// Configuration asks how certificates are signed. There is one row, an *api.CAConfiguration.
type Configuration struct{}

// QueryType implements verb.Query.
func (Configuration) QueryType() string { return "ca.configuration" }

// Validate implements verb.Query.
func (Configuration) Validate() error { return nil }

// Needs implements verb.Query.
func (Configuration) Needs() []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Read}}
}

// NewValue implements verb.Query.
func (Configuration) NewValue() any { return new(api.CAConfiguration) }

// Read implements verb.Query.
func (Configuration) Read(tx *state.Tx) ([]*verb.Row, error) {
	c := state.CAConfiguration(tx)
	if c == nil {
		return nil, errNoCA
	}
	return []*verb.Row{{Version: c.Config.ModifyIndex, Value: &c.Config}}, nil
}

var errNoCA = api.Errorf(http.StatusInternalServerError, "there is no certificate authority yet: the first leader makes it")

// SetConfiguration changes how certificates are signed from now on. What would take another root is refused.
type SetConfiguration struct{ Config api.CAConfiguration }

// CommandType implements verb.Command.
func (SetConfiguration) CommandType() string { return "ca.set-configuration" }

// Validate implements verb.Command. The statuses and words are those of the public API.
func (c SetConfiguration) Validate() error {
	if c.Config.Provider != builtinName {
		return api.Errorf(http.StatusInternalServerError, "could not initialize provider: unknown CA provider %q", c.Config.Provider)
	}
	if _, err := readLifetimes(c.Config.Config); err != nil {
		return api.Errorf(http.StatusInternalServerError, "error configuring provider: %v", err)
	}
	return nil
}

// Needs implements verb.Command.
func (SetConfiguration) Needs(*state.Tx) []api.Permission {
	return []api.Permission{{Resource: "operator", Access: api.Write}}
}

// Apply implements verb.Command.
func (c SetConfiguration) Apply(tx *state.Tx) (any, error) {
	old, root := state.CAConfiguration(tx), activeRoot(tx)
	if old == nil || root == nil {
		return nil, errNoCA
	}
	if err := c.keepsRoot(root.Public); err != nil {
		return nil, err
	}
	next := *old
	next.Config.Provider = c.Config.Provider
	next.Config.ForceWithoutCrossSigning = c.Config.ForceWithoutCrossSigning
	next.Config.Config = DefaultConfiguration().Config
	for name, value := range c.Config.Config {
		if value != nil && value != "" {
			next.Config.Config[name] = value
		}
	}
	state.PutCAConfiguration(tx, next)
	return nil, nil
}

// keepsRoot refuses what asks for another root, and settings that mean nothing here.
func (c SetConfiguration) keepsRoot(root api.CARoot) error {
	for _, name := range slices.Sorted(maps.Keys(c.Config.Config)) {
		value := c.Config.Config[name]
		same := false
		switch name {
		case leafTTL, intermediateTTL, rootTTL, "CSRMaxPerSecond", "CSRMaxConcurrent":
			continue
		case "PrivateKeyType":
			same = value == root.PrivateKeyType
		case "PrivateKeyBits":
			bits, err := whole(value)
			same = err == nil && bits == int64(root.PrivateKeyBits)
		case "RootCert":
			text, ok := value.(string)
			same = ok && strings.TrimSpace(text) == strings.TrimSpace(root.RootCert)
		case "PrivateKey":
		default:
			return api.Errorf(http.StatusBadRequest, "Config.%s is no setting of the provider %q", name, builtinName)
		}
		if !same && value != nil && value != "" {
			return api.Errorf(http.StatusBadRequest,
				"Config.%s asks for another root certificate, and this release cannot rotate to one: nothing was changed. Leave it out", name)
		}
	}
	return nil
}

// whole reads a whole number, however it was encoded.
func whole(v any) (int64, error) {
	d, err := duration(v)
	if _, text := v.(string); text || err != nil {
		return 0, fmt.Errorf("%v is no whole number", v)
	}
	return int64(d), nil
}
