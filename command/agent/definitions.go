package agent

import (
	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/local"
)

// RefusedDefinitions tells why an agent with this configuration would leave out some of its services and checks.
func RefusedDefinitions(cfg *config.Config) []error {
	return local.Refused(local.Options{
		Server: cfg.Server, Scripts: scripts(cfg), SidecarMinPort: cfg.Ports.SidecarMinPort, SidecarMaxPort: cfg.Ports.SidecarMaxPort,
	}, cfg.Services, cfg.Checks)
}
