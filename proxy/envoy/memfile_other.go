//go:build !linux

package envoy

import (
	"errors"
	"os"
)

// maxPipe is what a pipe holds before its reader must read.
const maxPipe = 16 << 10

// memoryFile returns the reading end of a pipe that holds the content.
func memoryFile(content []byte) (*os.File, error) {
	if len(content) > maxPipe {
		return nil, errors.New("the bootstrap is too long for a pipe")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}
