package datadir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// acquire takes the lock for as long as the returned file is open, which the kernel ends with the process. Its
// error continues a sentence about the directory.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot be written to: %w; choose one that belongs to this user", reason(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("is in use by %s; stop that agent or choose another directory", holder(f))
		}
		return nil, fmt.Errorf("cannot be locked: %w", err)
	}
	if err := writePid(f); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot be written to: %w", reason(err)), f.Close())
	}
	return f, nil
}

// writePid leaves word for the next one who comes. The lock is the flock alone, never the text.
func writePid(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" { // it has only just started
		return "another process"
	}
	return "process " + pid
}
