// Package acl judges what the bearer of a token may do. In this release ACLs are off: everything is allowed, by everybody, and
// every decision says so. It is asked on every path all the same, by the name of the permission.
package acl

import (
	"context"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/core"
	"github.com/parleymesh/parley/server/state"
)

// Open allows everything.
type Open struct{}

// Judge implements core.Authorizer.
func (Open) Judge(*state.Tx, string) (core.Judge, error) { return everybody{}, nil }

// Decide judges one permission of the bearer of a token.
func (Open) Decide(_ context.Context, _ string, p api.Permission) (api.Decision, error) {
	return everybody{}.Decide(p), nil
}

// everybody may do everything.
type everybody struct{}

// Decide implements core.Judge.
func (everybody) Decide(api.Permission) api.Decision {
	return api.Decision{Allowed: true, Why: "ACLs are off"}
}

// Unlimited implements core.Judge.
func (everybody) Unlimited() bool { return true }
