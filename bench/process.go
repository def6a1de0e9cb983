package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is an agent that the bench has started, on ports and in a directory of its own.
type process struct {
	name   string
	args   []string
	dir    string
	ports  map[string]int
	cmd    *exec.Cmd
	began  time.Time
	done   chan struct{}
	output bytes.Buffer
}

// newProcess describes an agent. Its ports and paths are in a configuration file, whose keys every compatible binary knows.
func newProcess(bin, dir, name string, config map[string]any) (*process, error) {
	p := &process{name: name, dir: filepath.Join(dir, name), ports: map[string]int{}}
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close()
		}
	}()
	for _, key := range []string{"http", "dns", "grpc", "serf_lan", "server"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		open = append(open, l)
		p.ports[key] = l.Addr().(*net.TCPAddr).Port
	}
	ports := map[string]int{"https": -1, "grpc_tls": -1, "serf_wan": -1}
	for key, port := range p.ports {
		ports[key] = port
	}
	file := map[string]any{"node_name": name, "bind_addr": "127.0.0.1", "log_level": "warn", "ports": ports}
	p.args = []string{bin, "agent", "-config-file=" + p.dir + ".json"}
	for key, v := range config {
		if key == "dev" {
			p.args = append(p.args, "-dev")
			continue
		}
		file[key] = v
	}
	if file["server"] != nil || file["retry_join"] != nil {
		file["data_dir"] = p.dir
	}
	data, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	return p, os.WriteFile(p.dir+".json", data, 0o600)
}

func (p *process) start() error {
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.done = make(chan struct{})
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	return nil
}

// kill ends the process without a word to it.
func (p *process) kill() {
	if p.done == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) url(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", p.ports["http"], path)
}

// patience bounds every wait for an agent.
const patience = time.Minute

// impatient is a client that gives up on a server which hangs, so that the next attempt finds the one which does not.
var impatient = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// firstWrite writes until one is answered, and returns when that was.
func (p *process) firstWrite(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := p.write(ctx)
		if err == nil {
			return time.Now(), nil
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-p.done:
			return time.Time{}, fmt.Errorf("%s has ended: %s", p.name, strings.TrimSpace(p.output.String()))
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%s answered no write in %s: %w", p.name, patience, err)
		}
	}
}

func (p *process) write(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, p.url("/v1/kv/bench/start"), strings.NewReader("x"))
	if err != nil {
		return err
	}
	body, err := answer(req)
	if err == nil && strings.TrimSpace(body) != "true" {
		err = fmt.Errorf("the write was answered with %q", body)
	}
	return err
}

// leader returns the RPC address of whoever leads, as this agent knows it.
func (p *process) leader(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url("/v1/status/leader"), nil)
	if err != nil {
		return "", err
	}
	body, err := answer(req)
	return strings.Trim(strings.TrimSpace(body), `"`), err
}

func answer(req *http.Request) (string, error) {
	resp, err := impatient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status + ": " + string(body))
	}
	return string(body), err
}
