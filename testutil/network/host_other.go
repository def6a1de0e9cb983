//go:build !linux

package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
)

// Host is a host of its own, where there is such a thing.
type Host struct {
	Name   string
	addr   netip.Addr
	device *os.File
}

var errNone = errors.New("hosts in namespaces are Linux's")

// Host skips the test.
func (n *Network) Host(string) *Host {
	n.t.Helper()
	n.t.Skip("skipped: ", errNone)
	return nil
}

func (h *Host) receive([]byte) {}

// Addr is never called.
func (h *Host) Addr() string { return h.addr.String() }

// Move is never called.
func (h *Host) Move() error { return errNone }

// Start is never called.
func (h *Host) Start(*exec.Cmd) error { return errNone }

// Dial is never called.
func (h *Host) Dial(context.Context, string, string) (net.Conn, error) { return nil, errNone }

// SmallDisk is never called.
func (h *Host) SmallDisk(string, int64) error { return errNone }

// WriteFile is never called.
func (h *Host) WriteFile(string, []byte) error { return errNone }

// Remove is never called.
func (h *Host) Remove(string) error { return errNone }
