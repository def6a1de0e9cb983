package envoy

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile returns a file that exists in memory only, with the content, read from its beginning.
func memoryFile(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("envoy-bootstrap.json", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "envoy-bootstrap.json")
	if _, err := file.WriteAt(content, 0); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
