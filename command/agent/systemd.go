package agent

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// supervisor is the service manager that started this process, if it asked to be told how the agent is: see sd_notify(3). Where
// NOTIFY_SOCKET is not set, nothing is told.
type supervisor struct{ log *slog.Logger }

// ready says that the agent serves, or serves again after reloading.
func (s supervisor) ready(status string) { s.tell(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// reloading says that the configuration is read again; ready ends it. The time is what a unit of Type=notify-reload wants.
func (s supervisor) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		s.log.Warn("the service manager is not told of a reload", "err", err)
		return
	}
	s.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/int64(time.Microsecond)))
}

func (s supervisor) stopping() { s.tell(daemon.SdNotifyStopping) }

func (s supervisor) alive() { s.tell(daemon.SdNotifyWatchdog) }

func (s supervisor) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("the service manager could not be told how the agent is; it may take it for hung", "err", err)
	}
}

// heartbeat is how often the service manager wants to hear that the agent lives: half of its WatchdogSec, or 0 for never.
func (s supervisor) heartbeat() time.Duration {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the service manager's watchdog is not served", "err", err)
	}
	return every / 2
}
