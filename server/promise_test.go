package server

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// deaf is a stream layer to which nobody connects: whoever accepts is told so.
type deaf struct{ raft.StreamLayer }

func (deaf) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (deaf) Close() error              { return nil }

func TestReturnedServerListensOnceItsPromiseIsOver(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*promise)
		want time.Duration
	}{
		{"after the lease", func(*promise) {}, time.Second},
		{"at once when it is alone", func(p *promise) { p.end() }, 0},
		{"when it is closed", func(p *promise) { _ = p.Close() }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, began := newPromise(deaf{}, time.Second), time.Now()
			c.end(p)
			if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) || time.Since(began) != c.want {
				t.Errorf("%s: %v after %v", c.name, err, time.Since(began))
			}
			_ = p.Close()
		})
	}
}
