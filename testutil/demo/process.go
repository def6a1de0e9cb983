package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stage keeps the processes of the demonstration, and their files in a directory of its own.
type stage struct {
	dir     string
	options options
	running []*process
}

// process is one that was started here.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start runs a program in the background; what it says goes to a file.
func (s *stage) start(name, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(s.dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program, which stops the others in order
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	s.running = append(s.running, p)
	return p, nil
}

// stop ends the process, kindly first.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// clear stops everything, the last started first, and removes what it left.
func (s *stage) clear() {
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].stop()
	}
	_ = os.RemoveAll(s.dir)
}

// parley runs a command as a person would, and shows both.
func (s *stage) parley(ctx context.Context, args ...string) error {
	fmt.Printf("  $ parley %s\n", strings.Join(args, " "))
	out, err := exec.CommandContext(ctx, s.options.parley, args...).CombinedOutput()
	printIndented(string(out))
	if err != nil {
		return fmt.Errorf("parley %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func printIndented(text string) {
	for line := range strings.Lines(text) {
		fmt.Printf("    %s\n", strings.TrimRight(line, "\n"))
	}
}

// until repeats try until it succeeds. The error of the last try tells what was missing, with the end of the log of whoever
// has ended meanwhile.
func (s *stage) until(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		for _, p := range s.running {
			select {
			case <-p.done:
				return fmt.Errorf("%s: %s has ended:\n%s", what, p.name, tail(p.log))
			default:
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// tail is the end of a file.
func tail(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
}
