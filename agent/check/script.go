package check

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/parleymesh/parley/agent/script"
	"github.com/parleymesh/parley/api"
)

// scriptProbe runs a program, without a shell. Exit status 0 passes, 1 is a warning, any other is critical.
type scriptProbe struct {
	args      []string
	maxOutput int
}

func newScriptProbe(def *api.CheckDefinition, o Options) *scriptProbe {
	return &scriptProbe{args: def.Args, maxOutput: o.outputMaxSize(def)}
}

func (p *scriptProbe) Run(ctx context.Context) (status, output string) {
	out := script.NewTail(p.maxOutput)
	cmd := script.Command(ctx, p.args)
	cmd.Stdout, cmd.Stderr = out, out
	err := script.Run(cmd)
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
