//go:build unix

package script

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// killWithChildren gives a program a process group of its own, which is killed as a whole when its time is up: a shell
// would leave behind what it started.
func killWithChildren(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}
