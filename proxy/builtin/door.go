package builtin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// door accepts connections at an address. An address that cannot be had yet is tried again.
type door struct {
	addr   string
	log    *slog.Logger
	listen func(addr string) (net.Listener, error)
	serve  func(net.Conn)

	ctx     context.Context
	shut    context.CancelFunc // stops accepting; what is served goes on
	running *sync.WaitGroup
}

// retryListen is how long it takes until an address that is in use is tried again.
const retryListen = time.Second

// openDoor opens a door, whose loop and connections count among what is running.
func openDoor(running *sync.WaitGroup, listen func(string) (net.Listener, error), log *slog.Logger, addr string, serve func(net.Conn)) *door {
	d := &door{addr: addr, log: log, listen: listen, serve: serve, running: running}
	d.ctx, d.shut = context.WithCancel(context.Background())
	// The first try is made before this returns, so that whoever has been told of a snapshot finds its listeners.
	l, err := listen(addr)
	running.Go(func() { d.run(l, err) })
	return d
}

// run accepts until the door is shut.
func (d *door) run(l net.Listener, err error) {
	for said := ""; err != nil; {
		if err.Error() != said {
			d.log.Error("cannot listen, it is tried again; free the port, or register the sidecar or upstream with another", "addr", d.addr, "err", err)
			said = err.Error()
		}
		select {
		case <-time.After(retryListen):
			l, err = d.listen(d.addr)
		case <-d.ctx.Done():
			return
		}
	}
	d.log.Info("listening", "addr", d.addr)
	stop := context.AfterFunc(d.ctx, func() { _ = l.Close() })
	defer stop()
	for pause := 5 * time.Millisecond; ; {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of file descriptors, as a rule: connections that end make room.
			d.log.Warn("cannot accept", "err", err)
			select {
			case <-time.After(pause):
			case <-d.ctx.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		d.running.Go(func() { d.serve(c) })
	}
}
