package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func lockCommand() *cli.Command {
	return &cli.Command{
		Name: "lock", Usage: "run a program while holding a lock", ArgsUsage: "PREFIX PROGRAM [ARGUMENT...]", Category: aboutKeys,
		Description: "The program finds CONSUL_LOCK_HELD and PARLEY_LOCK_HELD set to true. When the lock is lost, or this command is told to end,\n" +
			"the program and what it started are sent SIGTERM and, five seconds later, SIGKILL; other signals are handed on.",
		Flags: tenantFlags(
			&cli.BoolFlag{Name: "child-exit-code", Usage: "exit with status 2 when the program fails"},
			&cli.IntFlag{Name: "monitor-retry", Value: 3, Usage: "how often to ask again, a second apart, when the agent cannot tell whether the lock is still held"},
			&cli.IntFlag{Name: "n", Value: 1, Usage: "how many may hold it at a time; all must say the same"},
			&cli.StringFlag{Name: "name", Usage: "name of the session; made from the program's if not given"},
			&cli.BoolFlag{Name: "pass-stdin", Usage: "let the program read standard input"},
			&cli.BoolFlag{Name: "shell", Value: true, Usage: "run the program by a shell, SHELL or /bin/sh (-shell=false: as it stands)"},
			&cli.DurationFlag{Name: "timeout", Usage: "give up when the lock is not had after this time; 0: never"},
			&cli.DurationFlag{Name: "try", Usage: "the same as -timeout"},
			&cli.BoolFlag{Name: "verbose", Usage: "tell what is going on"},
		),
		Action: withClient(lock),
	}
}

// childGrace is how long the program has after it was told to end.
const childGrace = 5 * time.Second

func lock(c *cli.Context, client *api.Client) error {
	if c.NArg() < 2 {
		return refused("Key prefix and child command must be specified")
	}
	prefix, program := strings.TrimPrefix(c.Args().First(), "/"), c.Args().Tail()
	wait := c.Duration("timeout")
	if c.IsSet("try") {
		wait = c.Duration("try")
	}
	switch {
	case prefix == "":
		return refused("Key prefix must not be empty")
	case c.IsSet("try") && c.IsSet("timeout"):
		return refused("Only one of -try and -timeout may be given")
	case wait < 0:
		return refused("Timeout must be positive")
	case c.Int("n") < 1:
		return refused("Lock holder limit must be > 0")
	case c.Int("monitor-retry") < 0:
		return refused("Number for 'monitor-retry' must be >= 0")
	}
	say := func(format string, args ...any) {
		if c.Bool("verbose") {
			fmt.Fprintf(c.App.ErrWriter, format+"\n", args...)
		}
	}
	held, err := takeLock(c, client, prefix, program, wait, say)
	if err != nil {
		return err
	}
	err = whileHeld(c, held, program, say)
	say("Cleaning up")
	if left := held.Release(c.Context); left != nil {
		say("%v; its session ends by itself", left)
	}
	return err
}

// takeLock waits for the lock.
func takeLock(c *cli.Context, client *api.Client, prefix string, program []string, wait time.Duration, say func(string, ...any)) (*api.HeldLock, error) {
	ctx := c.Context
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	o := api.LockOptions{Key: api.LockKey(prefix), SessionName: c.String("name"), Retries: c.Int("monitor-retry"), RetryPause: time.Second}
	if o.SessionName == "" {
		o.SessionName = fmt.Sprintf("Lock for '%s' at '%s'", strings.Join(program, " "), prefix)
	}
	var held *api.HeldLock
	var err error
	if n := c.Int("n"); n > 1 {
		o.Key = prefix
		say("Setting up semaphore (limit %d) at prefix: %s\nAttempting lock acquisition", n, prefix)
		held, err = client.Semaphore(ctx, o, n)
	} else {
		say("Setting up lock at path: %s\nAttempting lock acquisition", o.Key)
		held, err = client.Lock(ctx, o)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, refused("Shutdown triggered or timeout during lock acquisition")
	case err != nil:
		return nil, &complaint{line: "Error! Lock acquisition failed: " + err.Error(), err: err}
	}
	return held, nil
}

// whileHeld runs the program until it ends, the lock is lost, or this process is told to end.
func whileHeld(c *cli.Context, held *api.HeldLock, program []string, say func(string, ...any)) error {
	cmd := childOf(c, program)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, handedOn...)
	defer signal.Stop(signals)
	say("Starting handler '%s'", strings.Join(program, " "))
	ended, err := startChild(cmd)
	if err != nil {
		return &complaint{line: "Error! Could not start the program: " + err.Error(), err: err}
	}
	for {
		select {
		case err := <-ended:
			if err == nil {
				return nil
			}
			fmt.Fprintf(c.App.ErrWriter, "Error running handler: %v\n", err)
			if c.Bool("child-exit-code") {
				return status(2)
			}
			return nil
		case s := <-signals:
			signalChild(cmd, s)
		case <-held.Lost():
			say("Lock lost, killing child")
			endChild(cmd, ended)
			return refused("The lock was lost, so the program was ended: %v", held.Why())
		case <-c.Context.Done():
			say("Shutdown triggered, killing child")
			endChild(cmd, ended)
			return status(1)
		}
	}
}

// childOf returns the program as a process that is not started yet.
func childOf(c *cli.Context, program []string) *exec.Cmd {
	if c.Bool("shell") {
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		program = []string{shell, "-c", strings.Join(program, " ")}
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Env = append(os.Environ(), "CONSUL_LOCK_HELD=true", "PARLEY_LOCK_HELD=true")
	cmd.Stdout, cmd.Stderr = asFile(c.App.Writer), asFile(c.App.ErrWriter)
	cmd.WaitDelay = time.Second // where they are no files, what it left behind may keep them open
	ownGroup := true
	if c.Bool("pass-stdin") {
		cmd.Stdin = c.App.Reader
		// Only the foreground group can read a terminal.
		ownGroup = !isTerminal(c.App.Reader)
	}
	childAttributes(cmd, ownGroup)
	return cmd
}

// asFile returns the file that a writer writes to, so that the program has that itself and not a pipe.
func asFile(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		w = o.to
	}
	return w
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// startChild starts a process. What it receives is how the process has ended. The thread that starts it stays: the process
// is told when that is gone, and must not take it for the end of this one.
func startChild(cmd *exec.Cmd) (ended <-chan error, err error) {
	started, over := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			over <- cmd.Wait()
		}
	}()
	return over, <-started
}
