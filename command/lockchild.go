package command

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// handedOn are the signals that the program of a lock is sent when this process is. Those that tell it to end do so in
// their own way.
var handedOn = []os.Signal{
	syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT,
}

// childAttributes puts a program into a process group of its own, so that what it starts can be ended with it, and ends it when
// this process is killed: nobody would hold the lock for it then.
func childAttributes(cmd *exec.Cmd, ownGroup bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: ownGroup}
	dieWithParent(cmd.SysProcAttr)
}

// signalChild signals the program with its group, if it has one.
func signalChild(cmd *exec.Cmd, s os.Signal) {
	pid := cmd.Process.Pid
	if cmd.SysProcAttr.Setpgid {
		pid = -pid
	}
	_ = syscall.Kill(pid, s.(syscall.Signal))
}

// endChild ends the program and what it started, and returns once they are gone.
func endChild(cmd *exec.Cmd, ended <-chan error) {
	signalChild(cmd, syscall.SIGTERM)
	signalChild(cmd, syscall.SIGCONT) // one that is stopped could not hear it
	late := time.NewTimer(childGrace)
	defer late.Stop()
	select {
	case <-ended:
		for cmd.SysProcAttr.Setpgid && syscall.Kill(-cmd.Process.Pid, 0) == nil {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-late.C:
				signalChild(cmd, syscall.SIGKILL)
				return
			}
		}
	case <-late.C:
		signalChild(cmd, syscall.SIGKILL)
		<-ended
	}
}
