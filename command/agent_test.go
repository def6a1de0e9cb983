package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/parleymesh/parley/agent/config"
)

// TestAgentSettings sees to it that an agent is told its flags as they were typed, in that order, and gives its own exit status.
func TestAgentSettings(t *testing.T) {
	before := runAgent
	t.Cleanup(func() { runAgent = before })
	var got *config.Sources
	runAgent = func(_ context.Context, s config.Sources, stdout, _ io.Writer) int {
		got = &s
		fmt.Fprintln(stdout, "running")
		return 3
	}
	line := "/usr/bin/consul agent -config-file a.hcl --config-dir=d -config-file b.json -hcl x=1 -server -dev=false -node-meta a:b -retry-join x -retry-join y,z"
	var out, errs strings.Builder
	if code := Run(strings.Fields(line), nil, &out, &errs); code != 3 || out.String() != "running\n" || errs.Len() > 0 {
		t.Errorf("exit status %d, %q, %q", code, &out, &errs)
	}
	want := config.Settings{
		{Flag: "config-file", Value: "a.hcl"}, {Flag: "config-dir", Value: "d"}, {Flag: "config-file", Value: "b.json"}, {Flag: "hcl", Value: "x=1"},
		{Flag: "server", Value: "true"}, {Flag: "dev", Value: "false"}, {Flag: "node-meta", Value: "a:b"},
		{Flag: "retry-join", Value: "x"}, {Flag: "retry-join", Value: "y,z"},
	}
	if got == nil || got.Program != "/usr/bin/consul" || !slices.Equal(got.Settings, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, c := range []struct{ line, want string }{
		{"agent -dev extra", "extra"}, {"agent -sever", "-server"}, {"agent -http-port=x", "http-port"}, {"agent -dev=perhaps", "perhaps"},
		{"agent -node-meta=a", "key:value"}, {"agent -node", "-node"},
	} {
		got = nil
		errs.Reset()
		code := Run(strings.Fields("parley "+c.line), nil, &out, &errs)
		if code != 1 || got != nil || !strings.Contains(errs.String(), c.want) || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%s: exit status %d, %q", c.line, code, &errs)
		}
	}
}
