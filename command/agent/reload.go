package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/parleymesh/parley/api"
)

// reload reads the configuration again and puts into force what may change while the agent runs: log level, certificates, DNS,
// services and checks of files, watches, the bound of connections. On an error everything stays as it was.
func (a *Agent) reload(context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.opts.Reload == nil {
		return api.Errorf(http.StatusInternalServerError, "this agent has no configuration to read again")
	}
	next, err := a.opts.Reload()
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	watches, err := parseWatches(next)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	t := next.TLS
	err = errors.Join(a.tls.rpc.Reload(t.InternalRPC), a.tls.https.Reload(t.HTTPS), a.tls.grpc.Reload(t.GRPC))
	if err != nil {
		return fmt.Errorf("reload: certificates: %w", err)
	}
	if err := a.local.Reload(next.Services, next.Checks); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	a.dns.Configure(dnsConfig(next))
	a.http.SetMaxConnsPerClient(next.Limits.HTTPMaxConnsPerClient)
	if err := errors.Join(a.opts.logs.setLevel(next), a.opts.logs.reopen()); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	a.watches.Set(watches)
	a.log.Info("configuration reloaded", "services", len(next.Services), "checks", len(next.Checks))
	return nil
}
