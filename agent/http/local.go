package http

import (
	"github.com/parleymesh/parley/api"
)

// Local is what is registered on this host. agent/local implements it. All methods may be called from any goroutine.
//
// Who may do what is judged here; whether a definition makes sense is judged there, before anything is changed: names and
// ids (api.CheckName), ports, duplicate ids, checks (check.Validate), proxies and their upstreams. Such an error has
// status 400 and names the field. The handlers look before they change, so a service or check that is not there is gone
// since then: the implementation may answer as it likes.
type Local interface {
	// Service returns the service of an id as it is registered, normalised, or nil; and a channel that is closed when that may
	// have changed, be the service there or not. The value is not changed after it was handed out: a change makes
	// another one.
	Service(id string) (s *api.Service, changed <-chan struct{})
	// Services returns all services, of which the same is true, in any order.
	Services() []*api.Service
	// Check returns the check of an id with its last result, or nil. The value is not changed after it was handed out.
	Check(id string) *api.Check
	// Checks returns all checks with their last results, in any order, maintenance among them. The values are not changed
	// after they were handed out.
	Checks() []*api.Check

	// RegisterService adds or replaces a service with its checks and sidecar: all of it or nothing. With replaceChecks, those
	// of its checks that are not in the definition are removed. It does not wait for the servers: the token is the one
	// with which the service is to be written there.
	RegisterService(def *api.ServiceDefinition, token string, replaceChecks bool) error
	// DeregisterService removes a service with its checks and its sidecar.
	DeregisterService(id string) error
	// RegisterCheck adds or replaces a check of the node or of the service that it names.
	RegisterCheck(def *api.CheckDefinition, token string) error
	DeregisterCheck(id string) error
	// UpdateTTL tells a TTL check's status, which is a valid one, and output. A check of another kind is an error.
	UpdateTTL(id, status, output string) error
	// ServiceMaintenance and NodeMaintenance switch maintenance on, for a reason that may be empty, or off. What is so
	// already stays as it is, which is no error.
	ServiceMaintenance(id string, enable bool, reason, token string) error
	NodeMaintenance(enable bool, reason, token string) error
}
