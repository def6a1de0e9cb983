//go:build !linux

package command

import "syscall"

// dieWithParent can do nothing where a process is not told of its parent's end.
func dieWithParent(*syscall.SysProcAttr) {}
