package network

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen has a host echo what it gets by UDP.
func listen(t *testing.T, h *Host) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	var err error
	err = h.do(func() error { c, err = net.ListenPacket("udp4", h.Addr()+":7"); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// send sends a datagram from one host to another and returns how long it took; negative when it was lost.
func send(t *testing.T, from *Host, to net.PacketConn, text string) time.Duration {
	t.Helper()
	c, err := from.Dial(t.Context(), "udp4", to.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(began.Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, _, err := to.ReadFrom(buf)
	if err != nil {
		return -1
	}
	if string(buf[:n]) != text {
		t.Errorf("got %q, want %q", buf[:n], text)
	}
	return time.Since(began)
}

func TestEachDirectionHasRulesOfItsOwn(t *testing.T) {
	n := New(t, 1)
	a, b := n.Host("a"), n.Host("b")
	atA, atB := listen(t, a), listen(t, b)
	if send(t, a, atB, "to b") < 0 || send(t, b, atA, "to a") < 0 {
		t.Fatal("lost without a rule")
	}
	n.Set(a, b, Rule{Cut: true})
	if send(t, a, atB, "cut") >= 0 {
		t.Error("a line that is cut lets through")
	}
	if send(t, b, atA, "back") < 0 {
		t.Error("the other direction is cut as well")
	}
	n.Set(a, b, Rule{Delay: 100 * time.Millisecond})
	if took := send(t, a, atB, "slow"); took < 100*time.Millisecond {
		t.Errorf("a slow line took %v", took)
	}
	n.Set(a, b, Rule{Loss: 1})
	if send(t, a, atB, "lost") >= 0 {
		t.Error("a packet of a line that loses all arrived")
	}
	n.Heal()
	if took := send(t, a, atB, "healed"); took < 0 || took > 100*time.Millisecond {
		t.Errorf("healed: %v", took)
	}
	if err := b.Move(); err != nil {
		t.Fatal(err)
	}
	if send(t, a, atB, "to the address before") >= 0 {
		t.Error("a host is reached where it is not any more")
	}
	if send(t, a, listen(t, b), "moved") < 0 {
		t.Error("a host is not reached at its new address")
	}
}

func TestConnectionsPassBetweenHosts(t *testing.T) {
	n := New(t, 1)
	a, b := n.Host("a"), n.Host("b")
	var l net.Listener
	var err error
	err = b.do(func() error { l, err = net.Listen("tcp4", b.Addr()+":80"); return err })
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 1<<20)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: a.Dial, DisableKeepAlives: true}}
	n.Between([]*Host{a}, []*Host{b}, Rule{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.01, Reorder: 0.1})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || len(got) != len(body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestSmallDiskIsTheHostsAlone(t *testing.T) {
	n := New(t, 1)
	h, dir := n.Host("a"), t.TempDir()
	if err := h.SmallDisk(dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "f")
	if err := h.WriteFile(name, make([]byte, 2<<20)); err == nil {
		t.Error("more is written than there is room")
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the disk is seen from elsewhere")
	}
	if err := h.Remove(name); err != nil {
		t.Error(err)
	}
	if err := h.WriteFile(name, make([]byte, 1<<10)); err != nil {
		t.Error(err)
	}
}
