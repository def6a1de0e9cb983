package remoteexec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/parleymesh/parley/agent/script"
	"github.com/parleymesh/parley/api"
)

// maxJobs is how many programs run at a time on a host.
const maxJobs = 16

// Options is what Run is made of.
type Options struct {
	Node string
	// Events lists the events of a name that this agent has heard, and a channel that is closed when there is another.
	Events func(name string) ([]api.UserEvent, <-chan struct{})
	Client *api.Client
	Token  func() string
	Logger *slog.Logger
}

// Run runs what events ask for until ctx ends. The programs that still run then are killed.
func Run(ctx context.Context, o Options) {
	r := &runner{o: o, log: o.Logger.With("component", "remote exec")}
	defer r.jobs.Wait()
	slots := make(chan struct{}, maxJobs)
	seen := map[string]bool{}
	for {
		events, changed := o.Events(Event)
		now := make(map[string]bool, len(events))
		for _, e := range events {
			now[e.ID] = true
			if seen[e.ID] {
				continue
			}
			select {
			case slots <- struct{}{}:
				r.jobs.Go(func() {
					defer func() { <-slots }()
					r.hear(ctx, e)
				})
			default:
				r.log.Warn("a job is not run: too many run already", "event", e.ID, "running", maxJobs)
			}
		}
		seen = now
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

type runner struct {
	o    Options
	log  *slog.Logger
	jobs sync.WaitGroup
}

// hear carries out what an event asks for.
func (r *runner) hear(ctx context.Context, e api.UserEvent) {
	a, err := readAnnouncement(e.Payload)
	if err != nil {
		r.log.Warn("a job cannot be read", "event", e.ID, "err", err)
		return
	}
	log := r.log.With("session", a.Session)
	pair, meta, err := r.o.Client.KV().Get(ctx, a.place().job(), &api.QueryOptions{Token: r.o.Token()})
	switch {
	case err != nil:
		log.Warn("a job cannot be read", "err", err)
		return
	case pair == nil: // gossip tells old events to those who come late
		log.Debug("a job is over already")
		return
	}
	job, err := readJob(pair.Value)
	if err != nil {
		log.Warn("a job cannot be read", "err", err)
		return
	}
	mine, err := r.claim(ctx, a)
	if err != nil || !mine {
		log.Debug("a job is not for this agent", "err", err)
		return
	}
	log.Info("running a job for whoever used exec", "args", job.Args, "script", len(job.Script))
	r.carryOut(ctx, a, job, meta.LastIndex)
}

// claim takes the job for this process: it is run once on a node, also when the agent is started again and hears of it again.
func (r *runner) claim(ctx context.Context, a announcement) (bool, error) {
	key := a.place().ack(r.o.Node)
	answer, err := r.o.Client.Txn(ctx, []api.TxnOp{
		{KV: &api.KVOp{Verb: api.VerbCheckNotExists, Key: key}},
		{KV: &api.KVOp{Verb: api.VerbLock, Key: key, Session: a.Session}},
	}, &api.QueryOptions{Token: r.o.Token()})
	return err == nil && answer.Done(), err
}

// carryOut runs the program while its session lives.
func (r *runner) carryOut(ctx context.Context, a announcement, job Job, index uint64) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() {
		r.whileAsked(running, a, index)
		stop()
	})
	out := r.newOutput(a, stop)
	code, err := program(running, job, out)
	if err != nil {
		fmt.Fprintf(out, "%v\n", err)
	}
	if ctx.Err() != nil {
		fmt.Fprintln(out, "killed: the agent has stopped")
	} else if running.Err() != nil {
		out.close(nil) // nobody asks any more
		return
	}
	out.close(&code)
}

// whileAsked returns when nobody waits for the job any more.
func (r *runner) whileAsked(ctx context.Context, a announcement, index uint64) {
	for ctx.Err() == nil {
		pair, meta, err := r.o.Client.KV().Get(ctx, a.place().job(), &api.QueryOptions{Token: r.o.Token(), WaitIndex: index})
		switch {
		case err == nil && pair == nil:
			return
		case err == nil:
			index = meta.LastIndex
		default: // the servers are away for a while; the job goes on
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// The exit codes of programs that did not end by themselves, as shells have them.
const (
	codeNotStarted = 127
	codeSignal     = 128
)

// program runs a job and returns its exit code.
func program(ctx context.Context, j Job, out *output) (code int, err error) {
	args, done, err := arguments(j)
	if err != nil {
		return codeNotStarted, err
	}
	defer done()
	cmd := script.Command(ctx, args)
	cmd.Env = os.Environ()
	cmd.Stdout, cmd.Stderr = out, out // one writer, so that it is written to by one at a time
	err = script.Run(cmd)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &ended):
		if s, ok := ended.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return codeSignal + int(s.Signal()), nil
		}
		return ended.ExitCode(), nil
	}
	return codeNotStarted, err
}

// arguments returns the words of a job's command. done removes what it needs.
func arguments(j Job) (args []string, done func(), err error) {
	nothing := func() {}
	if !j.Shell && j.Script == nil {
		return j.Args, nothing, nil
	}
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "/bin/sh"
	}
	if j.Shell {
		return []string{shell, "-c", j.Args[0]}, nothing, nil
	}
	dir, err := os.MkdirTemp("", "parley-exec-")
	if err != nil {
		return nil, nil, fmt.Errorf("keep the script: %w", err)
	}
	done = func() { _ = os.RemoveAll(dir) }
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, j.Script, 0o700); err != nil {
		done()
		return nil, nil, fmt.Errorf("keep the script: %w", err)
	}
	if len(j.Script) > 2 && string(j.Script[:2]) == "#!" {
		return []string{file}, done, nil
	}
	return []string{shell, file}, done, nil
}

func exitValue(code int) []byte { return []byte(strconv.Itoa(code)) }
