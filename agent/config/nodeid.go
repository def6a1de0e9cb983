package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/google/uuid"

	"github.com/parleymesh/parley/agent/datadir"
)

const nodeIDFile = "node-id"

// NodeID returns the configured id, or the one kept in the data directory, or makes one and keeps it there. Without a
// directory, in development mode, each start makes its own.
func NodeID(configured string, dir *datadir.Dir) (string, error) {
	if configured != "" {
		return strings.ToLower(configured), nil
	}
	if dir == nil {
		return uuid.NewString(), nil
	}
	id, err := KeptNodeID(dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = uuid.NewString()
	if err := dir.WriteFile(nodeIDFile, []byte(id)); err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	return id, nil
}

// KeptNodeID returns the id that is kept in a data directory; the error is fs.ErrNotExist where there is none.
func KeptNodeID(dir *datadir.Dir) (string, error) {
	text, err := dir.ReadFile(nodeIDFile)
	if err != nil {
		return "", fmt.Errorf("node id: %w", err)
	}
	return parseNodeID(dir.Path(nodeIDFile), string(text))
}

func parseNodeID(path, text string) (string, error) {
	id := strings.TrimSpace(text)
	if !isUUID(id) {
		return "", fmt.Errorf("%s holds no node id: want a UUID of 36 characters, found %d; put the id back, or remove the file to become a new node", path, len(id))
	}
	return strings.ToLower(id), nil
}

func isUUID(s string) bool {
	return len(s) == 36 && uuid.Validate(s) == nil
}
