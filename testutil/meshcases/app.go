package meshcases

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// App is a service: a TCP server that answers each line with the same line.
type App struct {
	Addr     *net.TCPAddr
	Greeting string // sent before anything is read, if not empty
	// Farewell is sent after the caller has closed its half of the connection.
	Farewell atomic.Pointer[[]byte]
	Accepted atomic.Int64

	listener net.Listener
	mu       sync.Mutex // guards conns
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
}

// NewApp runs a service until the test ends.
func NewApp(t testing.TB, greeting string) *App {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &App{Addr: l.Addr().(*net.TCPAddr), Greeting: greeting, listener: l, conns: map[net.Conn]struct{}{}}
	a.wg.Go(a.serve)
	t.Cleanup(a.Close)
	return a
}

// Close ends the service and its connections.
func (a *App) Close() {
	_ = a.listener.Close()
	a.mu.Lock()
	for c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
	a.mu.Unlock()
	a.wg.Wait()
}

func (a *App) serve() {
	for {
		c, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.Accepted.Add(1)
		a.mu.Lock()
		if a.conns == nil {
			_ = c.Close()
		} else {
			a.conns[c] = struct{}{}
			a.wg.Go(func() { a.answer(c) })
		}
		a.mu.Unlock()
	}
}

func (a *App) answer(c net.Conn) {
	defer func() {
		_ = c.Close()
		a.mu.Lock()
		delete(a.conns, c)
		a.mu.Unlock()
	}()
	if _, err := c.Write([]byte(a.Greeting)); err != nil {
		return
	}
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if bye := a.Farewell.Load(); err == io.EOF && bye != nil {
			_, _ = c.Write(*bye)
		}
		if err != nil {
			return
		}
		if _, err := c.Write([]byte(line)); err != nil {
			return
		}
	}
}
