package http

import (
	"github.com/parleymesh/parley/api"
)

// Local is what is registered on this host. Its errors carry their status; a service or check that it does not know is none
// for it to explain: the handlers look before they change.
type Local interface {
	// Service returns the service of an id, and a channel that is closed when that may have changed, be it there or not.
	Service(id string) (s *api.Service, changed <-chan struct{})
	// Services returns all services. The values are not changed.
	Services() []*api.Service
	// Checks returns all checks. The values are not changed.
	Checks() []*api.Check

	// RegisterService adds or replaces a service with its checks and sidecar. With replaceChecks, those of its checks that
	// are not in the definition are removed.
	RegisterService(def *api.ServiceDefinition, token string, replaceChecks bool) error
	DeregisterService(id string) error
	RegisterCheck(def *api.CheckDefinition, token string) error
	DeregisterCheck(id string) error
	// UpdateTTL tells a TTL check's status and output.
	UpdateTTL(id, status, output string) error
	// ServiceMaintenance and NodeMaintenance switch maintenance on, for a reason that may be empty, or off.
	ServiceMaintenance(id string, enable bool, reason, token string) error
	NodeMaintenance(enable bool, reason, token string) error
}
