package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// figure is one thing measured of a start: how long it took, or how much memory an idle agent holds.
type figure struct {
	name string
	goal string
	runs []float64
	unit string
}

// figures are in the order in which they are printed.
type figures []*figure

func (all figures) add(name string, v float64) {
	for _, f := range all {
		if f.name == name {
			f.runs = append(f.runs, v)
		}
	}
}

// stage is a setting in which agents are started.
type stage struct {
	name string
	run  func(ctx context.Context, s *starts) error
}

func stages() []stage {
	return []stage{{"dev", development}, {"server", single}, {"cluster", three}}
}

// starts is what the stages share during one run.
type starts struct {
	bin, dir string
	idle     time.Duration
	found    figures
	running  []*process
}

// start measures how long a binary takes from its execution to its first answered write, and what it holds when it is idle.
//
//	bench start -bin bin/parley [-runs 5] [-idle 5s] [dev server cluster]
func start(args []string) error {
	flags := flag.NewFlagSet("bench start", flag.ContinueOnError)
	bin := flags.String("bin", "bin/parley", "the binary to measure")
	runs := flags.Int("runs", 5, "how often each setting is started; the median counts")
	idle := flags.Duration("idle", 5*time.Second, "how long an agent is left alone before its memory is read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	found := figures{
		{name: "dev: first write", unit: "s", goal: "0.2"}, {name: "dev: CPU until then", unit: "s"},
		{name: "dev: idle RSS", unit: "MB", goal: "45"}, {name: "dev: CPU per idle minute", unit: "s"},
		{name: "server: first write", unit: "s", goal: "0.3"}, {name: "server: first write after kill", unit: "s"},
		{name: "server: idle RSS", unit: "MB", goal: "50"},
		{name: "three servers: first write", unit: "s", goal: "3"}, {name: "three servers: leader idle RSS", unit: "MB", goal: "50"},
		{name: "client: first write", unit: "s"}, {name: "client: idle RSS", unit: "MB", goal: "38"},
		{name: "leader killed: next write", unit: "s", goal: "2"},
	}
	var known []string
	for _, s := range stages() {
		known = append(known, s.name)
	}
	for _, name := range flags.Args() {
		if !slices.Contains(known, name) {
			return fmt.Errorf("no setting is called %q: %s", name, strings.Join(known, ", "))
		}
	}
	for range *runs {
		for _, st := range stages() {
			if flags.NArg() > 0 && !slices.Contains(flags.Args(), st.name) {
				continue
			}
			if err := once(st, *bin, *idle, found); err != nil {
				return fmt.Errorf("%s: %w", st.name, err)
			}
		}
	}
	found.print()
	if info, err := os.Stat(*bin); err == nil {
		fmt.Printf("%-34s %10.1f MB %26s\n", "binary", float64(info.Size())/1e6, "goal 40")
	}
	return nil
}

// once runs one setting in a directory of its own, and leaves nothing behind.
func once(st stage, bin string, idle time.Duration, found figures) error {
	dir, err := os.MkdirTemp("", "parley-bench-")
	if err != nil {
		return err
	}
	s := &starts{bin: bin, dir: dir, idle: idle, found: found}
	err = st.run(context.Background(), s)
	for _, p := range s.running {
		p.kill()
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func (s *starts) launch(name string, config map[string]any) (*process, error) {
	p, err := newProcess(s.bin, s.dir, name, config)
	if err != nil {
		return nil, err
	}
	s.running = append(s.running, p)
	return p, p.start()
}

// took notes the time from a process's start to its first answered write.
func (s *starts) took(ctx context.Context, name string, p *process) error {
	at, err := p.firstWrite(ctx)
	if err == nil {
		s.found.add(name, at.Sub(p.began).Seconds())
	}
	return err
}

// rest leaves everything alone for a while.
func (s *starts) rest() { time.Sleep(s.idle) }

func (s *starts) rss(name string, p *process) { s.found.add(name, float64(rssOf(p.pid()))/1024) }

func development(ctx context.Context, s *starts) error {
	p, err := s.launch("dev", map[string]any{"dev": true})
	if err != nil {
		return err
	}
	if err := s.took(ctx, "dev: first write", p); err != nil {
		return err
	}
	before, err := cpuOf(p.pid())
	if err != nil {
		return err
	}
	s.rest()
	after, err := cpuOf(p.pid())
	s.found.add("dev: CPU until then", before.Seconds())
	s.found.add("dev: CPU per idle minute", (after-before).Seconds()*float64(time.Minute)/float64(s.idle))
	s.rss("dev: idle RSS", p)
	return err
}

func single(ctx context.Context, s *starts) error {
	p, err := s.launch("server", map[string]any{"server": true, "bootstrap_expect": 1})
	if err != nil {
		return err
	}
	if err := s.took(ctx, "server: first write", p); err != nil {
		return err
	}
	s.rest()
	s.rss("server: idle RSS", p)
	p.kill()
	if err := p.start(); err != nil {
		return err
	}
	return s.took(ctx, "server: first write after kill", p)
}

func three(ctx context.Context, s *starts) error {
	var servers []*process
	began := time.Now()
	for i := range 3 {
		config := map[string]any{"server": true, "bootstrap_expect": 3}
		if i > 0 {
			config["retry_join"] = []string{fmt.Sprintf("127.0.0.1:%d", servers[0].ports["serf_lan"])}
			config["retry_interval"] = "1s"
		}
		p, err := s.launch(fmt.Sprintf("server-%d", i+1), config)
		if err != nil {
			return err
		}
		servers = append(servers, p)
	}
	at, err := servers[0].firstWrite(ctx)
	if err != nil {
		return err
	}
	s.found.add("three servers: first write", at.Sub(began).Seconds())
	client, err := s.launch("client", map[string]any{
		"retry_join": []string{fmt.Sprintf("127.0.0.1:%d", servers[0].ports["serf_lan"])}, "retry_interval": "1s",
	})
	if err != nil {
		return err
	}
	if err := s.took(ctx, "client: first write", client); err != nil {
		return err
	}
	s.rest()
	s.rss("client: idle RSS", client)
	return s.killLeader(ctx, servers, client)
}

// killLeader kills the leader and writes through a server that is left.
func (s *starts) killLeader(ctx context.Context, servers []*process, client *process) error {
	addr, err := client.leader(ctx)
	if err != nil {
		return err
	}
	lead := slices.IndexFunc(servers, func(p *process) bool { return addr == fmt.Sprintf("127.0.0.1:%d", p.ports["server"]) })
	if lead < 0 {
		return fmt.Errorf("the leader %q is none of the servers started", addr)
	}
	s.rss("three servers: leader idle RSS", servers[lead])
	began := time.Now()
	servers[lead].kill()
	at, err := servers[(lead+1)%3].firstWrite(ctx)
	if err == nil {
		s.found.add("leader killed: next write", at.Sub(began).Seconds())
	}
	return err
}

// print shows the median of each figure, its extremes and the goal.
func (all figures) print() {
	fmt.Printf("%-34s %10s %14s %14s\n", "figure", "median", "from", "to")
	for _, f := range all {
		if len(f.runs) == 0 {
			continue
		}
		slices.Sort(f.runs)
		goal := ""
		if f.goal != "" {
			goal = "goal " + f.goal
		}
		fmt.Printf("%-34s %10.3f %-2s %11.3f %14.3f  %s\n", f.name, f.runs[len(f.runs)/2], f.unit, f.runs[0], f.runs[len(f.runs)-1], goal)
	}
}
