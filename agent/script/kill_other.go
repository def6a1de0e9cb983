//go:build !unix

package script

import "os/exec"

// killWithChildren has nothing to add where there are no process groups: the program itself is killed.
func killWithChildren(*exec.Cmd) {}
