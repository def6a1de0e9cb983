package command_test

import (
	"strings"
	"testing"
)

// TestUnreached wants to hear where the address comes from at which nobody answers, and how to name another.
func TestUnreached(t *testing.T) {
	for _, c := range []struct{ program, parley, consul, flag, want string }{
		{"parley", "127.0.0.1:1", "", "", "127.0.0.1:1, which PARLEY_HTTP_ADDR names (dial tcp 127.0.0.1:1: connect: connection refused)"},
		{"parley", "", "127.0.0.1:1", "", "127.0.0.1:1, which CONSUL_HTTP_ADDR names"},
		{"parley", "127.0.0.1:2", "127.0.0.1:3", "", "127.0.0.1:2, which PARLEY_HTTP_ADDR names"},
		{"parley", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:1", "127.0.0.1:1, which -http-addr names"},
		{"consul", "", "127.0.0.1:1", "", "CONSUL_HTTP_ADDR or, on the command line, -http-addr names another address"},
		{"parley", "unix:///no/such.sock", "", "", "unix:///no/such.sock, which PARLEY_HTTP_ADDR names"},
	} {
		t.Setenv("PARLEY_HTTP_ADDR", c.parley)
		t.Setenv("CONSUL_HTTP_ADDR", c.consul)
		line := []string{c.program, "members"}
		if c.flag != "" {
			line = append(line, "-http-addr", c.flag)
		}
		if _, errs, code := run("", line...); code != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("%+v: exit status %d, %s", c, code, errs)
		}
	}
}
