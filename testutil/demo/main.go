// Command demo shows Parley's main job on one machine, one step at a time: two services that call one another, found by DNS,
// refused by default, allowed by an intention, over mTLS. It starts everything itself, stays until it is interrupted, and
// leaves nothing behind. `make demo` builds and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == "serve" {
		return serve(ctx, args[1], args[2])
	}
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&o.parley, "parley", "bin/parley", "the binary to show")
	flags.StringVar(&o.envoy, "envoy", "", "run the sidecars on this Envoy; empty: on the embedded proxy")
	flags.IntVar(&o.servers, "servers", 1, "1 for a development agent, 3 for three servers and a client agent")
	flags.BoolVar(&o.once, "once", false, "end after the last step instead of waiting for Ctrl-C")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.servers != 1 && o.servers != 3 {
		return fmt.Errorf("-servers %d: 1 and 3 can be shown", o.servers)
	}
	return show(ctx, o)
}
