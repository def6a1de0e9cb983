package envoy

import (
	"os"

	"golang.org/x/sys/unix"
)

// keepOnExec leaves a file open for the program that replaces this one.
func keepOnExec(file *os.File) error {
	_, err := unix.FcntlInt(file.Fd(), unix.F_SETFD, 0)
	return os.NewSyscallError("fcntl", err)
}
