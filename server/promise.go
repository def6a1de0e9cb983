package server

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// promise keeps a promise over a restart: a server that has accepted a leader's heartbeat gives nobody else its vote for a while, and
// by that the leader answers reads without asking first. Raft keeps it in memory alone. So a server that was there before listens to
// the others only when no leader can count on it any more.
type promise struct {
	raft.StreamLayer
	over chan struct{}
	once sync.Once
	wait *time.Timer
}

// newPromise returns the stream layer of a server that may have made one, for as long as a leader counts on it.
func newPromise(s raft.StreamLayer, lease time.Duration) *promise {
	p := &promise{StreamLayer: s, over: make(chan struct{})}
	p.wait = time.AfterFunc(lease, p.end)
	return p
}

func (p *promise) end() { p.once.Do(func() { close(p.over) }) }

// Accept implements net.Listener.
func (p *promise) Accept() (net.Conn, error) {
	<-p.over
	return p.StreamLayer.Accept()
}

// Close implements net.Listener.
func (p *promise) Close() error {
	p.wait.Stop()
	err := p.StreamLayer.Close()
	p.end()
	return err
}
