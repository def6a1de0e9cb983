package dns

import (
	"context"
	"errors"
	"net"
)

// Server answers questions on any number of pairs of sockets.
type Server struct{ opts Options }

// New returns a server that serves nobody yet.
func New(o Options) *Server { return &Server{opts: o.withDefaults()} }

// Configure puts another configuration into force.
func (s *Server) Configure(Config) {}

// Serve answers on both until Close, which closes them. It returns why it could not go on; nil after Close.
func (s *Server) Serve(tcp net.Listener, udp net.PacketConn) error { return errors.New("dns: not there yet") }

// Close stops.
func (s *Server) Close(ctx context.Context) error { return nil }
