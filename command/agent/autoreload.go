package agent

import (
	"context"
	"time"
)

// lookAgain is how often the configuration's files are looked at for changes.
const lookAgain = time.Second

func (a *Agent) autoReloads() bool { return a.cfg.AutoReloadConfig && a.opts.Stamp != nil }

// autoReload reloads the configuration when its files have changed, and stand as they are for a moment: a file that is being
// written is not read by halves. One that is refused is tried again when it has changed again.
func (a *Agent) autoReload(ctx context.Context) {
	ticker := time.NewTicker(lookAgain)
	defer ticker.Stop()
	inForce, before := a.loaded, a.loaded
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		now := a.opts.Stamp()
		if now == before && now != inForce {
			inForce = now
			a.reloadOrTell()
		}
		before = now
	}
}

// reloadOrTell reloads for somebody who waits for no answer.
func (a *Agent) reloadOrTell() {
	if err := a.reload(context.Background()); err != nil {
		a.log.Error("configuration not reloaded, the former one stays in force", "err", err)
	}
}
