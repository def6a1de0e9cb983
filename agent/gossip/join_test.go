package gossip

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

func TestJoinTriesAllAndSaysWhy(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start("a")
		b := l.start("b")
		down, gone := l.addr("down"), l.addr("gone")
		_, err := b.Join(l.Context(), []string{down, strings.TrimSuffix(gone, ":8301"), "a b", "host:0", "provider=aws tag_key=x"})
		wantRefused(t, err, "5 errors occurred:\n",
			"\t* Failed to join "+down+": dial tcp "+down+": connect: connection refused\n",
			"Failed to join "+gone+": dial tcp", "Failed to join a b: it is no address", `Failed to join host:0: "0" is no port`, "cloud")
		n, err := b.Join(l.Context(), []string{down, l.addr("a"), l.addr("b")})
		if n != 2 || err != nil {
			t.Errorf("joined %d: %v", n, err)
		}
	})
}

func TestRetryJoinFirstAddressDown(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start("s1", server)
		c := l.start("c")
		if err := c.RetryJoin(l.Context(), []string{l.addr("down"), l.addr("s1")}, 30*time.Second, 1, nil); err != nil {
			t.Fatal(err)
		}
		if count(c, api.MemberAlive) != 2 || l.said("at=c", "msg=joined", "servers=1") != 1 {
			t.Errorf("members: %s", statuses(c))
		}
	})
}

func TestRetryJoinWaitsForTheFirst(t *testing.T) {
	inLab(t, func(l *lab) {
		asked := 0
		there := mustAddrPort(l.addr("s1")).Addr()
		c := l.start("c", func(o *Options) {
			o.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
				if asked++; asked < 3 {
					return nil, errors.New("no such host")
				}
				return []netip.Addr{there}, nil
			}
		})
		done, self := make(chan error), l.addr("c")
		go func() {
			done <- c.RetryJoin(l.Context(), []string{"servers.example.org", self}, 10*time.Second, 0, nil)
		}()
		time.Sleep(30 * time.Second)
		l.start("s1", server)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if asked != 7 { // after 0, 1, 3, 7, 15, 25 and 35 seconds
			t.Errorf("the name was looked up %d times", asked)
		}
		if n := l.said("joined nobody yet", "next=1s", "servers.example.org: look up the name: no such host"); n != 1 {
			t.Errorf("%d lines tell why it waits", n)
		}
	})
}

func TestRetryJoinEnds(t *testing.T) {
	inLab(t, func(l *lab) {
		c := l.start("c")
		err := c.RetryJoin(l.Context(), []string{l.addr("down")}, time.Second, 3, nil)
		if err == nil || !strings.Contains(err.Error(), "joined nobody in 3 attempts, 1s apart: 10.0.0.2:8301: dial tcp") {
			t.Errorf("after three attempts: %v", err)
		}
		ctx, cancel := context.WithTimeout(l.Context(), time.Minute)
		defer cancel()
		if err := c.RetryJoin(ctx, []string{l.addr("down")}, time.Second, 0, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after a minute: %v", err)
		}
		if err := c.RetryJoin(l.Context(), []string{l.addr("c")}, time.Second, 0, nil); err != nil {
			t.Errorf("to itself: %v", err)
		}
		l.start("d")
		if err := c.RetryJoin(l.Context(), []string{l.addr("d")}, time.Second, 0, nil); err != nil {
			t.Error(err)
		}
		if n := l.said("at=c", "level=WARN", "no member is a server"); n != 1 {
			t.Errorf("%d lines tell that there is no server", n)
		}
	})
}

func TestNoJoinAfterLeave(t *testing.T) {
	inLab(t, func(l *lab) {
		pools := l.cluster(2)
		if err := pools[1].Leave(l.Context()); err != nil {
			t.Fatal(err)
		}
		if err := pools[1].RetryJoin(l.Context(), []string{l.addr("s1")}, time.Second, 0, nil); !errors.Is(err, ErrLeft) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCloseEndsAJoin(t *testing.T) {
	inLab(t, func(l *lab) {
		l.start("a")
		b := l.start("b")
		l.net.Cut("a", "b")
		done := make(chan error)
		go func() {
			_, err := b.Join(l.Context(), []string{l.addr("a")})
			done <- err
		}()
		time.Sleep(time.Second)
		began := time.Now()
		b.Close()
		if err := <-done; err == nil || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if _, err := b.Join(l.Context(), []string{l.addr("a")}); !strings.Contains(err.Error(), ErrClosed.Error()) {
			t.Errorf("after closing: %v", err)
		}
	})
}

func TestSplitAddr(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1":         "10.0.0.1 8301",
		"10.0.0.1:1":       "10.0.0.1 1",
		" a.example.org ":  "a.example.org 8301",
		"a.example.org:80": "a.example.org 80",
		"::1":              "::1 8301",
		"[::1]":            "::1 8301",
		"[::1]:9":          "::1 9",
		"":                 "",
		":8301":            "",
		"a:b":              "",
		"a:65536":          "",
		"a:-1":             "",
		"a/10.0.0.1:1":     "",
		"http://a:1":       "",
	} {
		host, port, err := splitAddr(in, DefaultPort)
		if err != nil {
			host = ""
		} else {
			host += " " + itoa(int(port))
		}
		if host != want {
			t.Errorf("%q: want %q, got %q (%v)", in, want, host, err)
		}
	}
}
