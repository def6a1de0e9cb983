//go:build !linux

package datadir

import "os"

// syncData brings to disk what was written to a file.
func syncData(f *os.File) error { return f.Sync() }
