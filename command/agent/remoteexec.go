package agent

import (
	"context"
	"sync"

	"github.com/parleymesh/parley/agent/remoteexec"
)

// startRemoteExec has this host run what `parley exec` asks for, where that is switched on.
func (a *Agent) startRemoteExec() error {
	if a.cfg.DisableRemoteExec {
		return nil
	}
	client, err := a.inside.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		remoteexec.Run(ctx, remoteexec.Options{
			Node: a.cfg.NodeName, Events: a.events.List, Client: client, Token: func() string { return a.cfg.ACL.Tokens.Agent }, Logger: a.log,
		})
	})
	a.undo.push("remote execution", func(context.Context) error {
		cancel()
		running.Wait()
		client.Close()
		return nil
	})
	return nil
}
