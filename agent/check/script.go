package check

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// killGrace is how long the output of a killed script is waited for: a child of it may hold the pipe open.
const killGrace = time.Second

// scriptProbe runs a program, without a shell. Exit status 0 passes, 1 is a warning, any other is critical.
type scriptProbe struct {
	args      []string
	maxOutput int
}

func newScriptProbe(def *api.CheckDefinition, o Options) *scriptProbe {
	return &scriptProbe{args: def.Args, maxOutput: o.outputMaxSize(def)}
}

func (p *scriptProbe) Run(ctx context.Context) (status, output string) {
	out := &tail{max: p.maxOutput}
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = killGrace
	killWithChildren(cmd)
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return api.Passing, out.String()
	case ctx.Err() != nil:
		return api.Critical, fmt.Sprintf("Timed out running %s: %s", p.args[0], out)
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return api.Warning, out.String()
	case errors.As(err, &exit):
		return api.Critical, out.String()
	}
	return api.Critical, err.Error()
}

// tail keeps the last bytes written to it, where programs say what went wrong.
type tail struct {
	max     int
	data    []byte
	dropped bool
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > t.max {
		p = p[len(p)-t.max:]
		t.dropped = true
	}
	if over := len(t.data) + len(p) - t.max; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
		t.dropped = true
	}
	t.data = append(t.data, p...)
	return n, nil
}

func (t *tail) String() string {
	const mark = "... "
	if !t.dropped || t.max < len(mark) {
		return string(t.data)
	}
	return mark + strings.ToValidUTF8(string(t.data[min(len(mark), len(t.data)):]), "")
}
