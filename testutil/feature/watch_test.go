package feature

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/testutil"
)

// TestWatches has an agent call programs and a URL as its configuration says, and reads that again.
func TestWatches(t *testing.T) {
	posted := make(chan string, 16)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted <- r.Header.Get("X-From") + " " + string(body)
	}))
	defer server.Close()

	dir := t.TempDir()
	file, seen := filepath.Join(dir, "watches.hcl"), filepath.Join(dir, "seen")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hook := fmt.Sprintf(`{ type = "event" name = "deploy" handler_type = "http"
		http_handler_config { path = %q, header = { x-from = ["parley"] } } }`, server.URL)
	write(fmt.Sprintf(`watches = [ { type = "key" key = "a" args = ["sh", "-c", "cat >> %s"] }, %s ]`, seen, hook))
	a := testutil.Dev(t, "-config-file="+file)

	next := func(want string) {
		t.Helper()
		select {
		case got := <-posted:
			if !strings.Contains(got, want) {
				t.Errorf("the URL is sent %q, want %q", got, want)
			}
		case <-time.After(testutil.Patience):
			t.Fatalf("the URL is sent nothing, want %q", want)
		}
	}
	lines := func(want string) {
		t.Helper()
		testutil.Eventually(t, "what the program saw", func(context.Context) error {
			data, err := os.ReadFile(seen)
			if err == nil && !strings.Contains(string(data), want) {
				err = fmt.Errorf("%q, not %q", data, want)
			}
			return err
		})
	}
	next("parley []") // as it is at first
	lines("null\n")
	a.Must("kv", "put", "a", "1")
	lines(`"Value":"MQ=="`)
	a.Must("event", "-name=other")
	a.Must("event", "-name=deploy", "x")
	next(`"Name":"deploy"`)

	t.Run("reload", func(t *testing.T) {
		write(fmt.Sprintf(`watches = [ { type = "key" key = "b" args = ["sh", "-c", "(echo b; cat) >> %s"] }, %s ]`, seen, hook))
		a.Must("reload")
		lines("b\nnull\n")
		a.Must("kv", "put", "a", "2") // nobody watches it now
		a.Must("kv", "put", "b", "3")
		lines(`"Value":"Mw=="`)
		a.Must("event", "-name=deploy", "y")
		next(`"Payload":"eQ=="`) // the one that stayed was not begun anew
		if data, err := os.ReadFile(seen); err != nil || strings.Contains(string(data), "Mg==") {
			t.Errorf("%s, %v", data, err)
		}
		write(`watches = [ { type = "key" args = ["x"] } ]`)
		if _, errs, code := a.Run("reload"); code != 1 || !strings.Contains(errs, "key is missing") {
			t.Errorf("a mistake: %d, %q", code, errs)
		}
	})
	t.Run("nothing is left behind", func(t *testing.T) {
		pid := filepath.Join(dir, "pid")
		write(fmt.Sprintf(`watches = [ { type = "nodes" args = ["sh", "-c", "echo $$ > %s.new; mv %s.new %s; sleep 1000; true"] } ]`, pid, pid, pid))
		a.Must("reload")
		var process string
		testutil.Eventually(t, "the program to run", func(context.Context) error {
			data, err := os.ReadFile(pid)
			process = filepath.Join("/proc", strings.TrimSpace(string(data)))
			return err
		})
		if _, err := os.Stat(process); err != nil {
			t.Fatal(err)
		}
		write(``)
		a.Must("reload")
		// It was waited for before the reload was done, or it would stand there as a zombie.
		if _, err := os.Stat(process); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", process, err)
		}
	})
}

// TestWatchCommand follows each type of view from the command line.
func TestWatchCommand(t *testing.T) {
	a := testutil.Dev(t)
	a.Must("services", "register", "-name=web", "-port=80", "-tag=v1")
	a.Must("kv", "put", "dir/k", "v")
	testutil.Eventually(t, "the service in the catalog", func(ctx context.Context) error {
		found, _, err := a.API.Catalog().Service(ctx, "web", nil, nil)
		if err == nil && len(found) == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	for line, want := range map[string]string{
		"-type=key -key=none":                        "null\n",
		"-type=key -key=dir/k":                       `"Value": "dg=="`,
		"-type=keyprefix -prefix=dir/":               `"Key": "dir/k"`,
		"-type=keyprefix -prefix=none/":              "null\n",
		"-type=services":                             `"web": [`,
		"-type=nodes":                                `"Node": "dev"`,
		"-type=service -service=web -tag=v1":         `"ID": "web"`,
		"-type=service -service=web -tag=v2":         "[]\n",
		"-type=service -service=web -passingonly=1":  `"ID": "web"`,
		"-type=service -service=none":                "[]\n",
		"-type=checks":                               `"CheckID": "serfHealth"`,
		"-type=checks -state=critical":               "[]\n",
		"-type=checks -service=web":                  "[]\n",
		"-type=event -name=none":                     "[]\n",
		"-type=connect_roots":                        `"Roots": [`,
		"-type=connect_leaf -service=web":            `"CertPEM": "`,
		"-type=agent_service -service=web":           `"ContentHash": "`,
		"-type=services -filter=ServiceName==nobody": "{}\n",
	} {
		out, errs, code := a.Run(append([]string{"watch"}, strings.Fields(line)...)...)
		if code != 0 || !strings.Contains(out, want) || !json.Valid([]byte(out)) {
			t.Errorf("watch %s: %d %q %q, want %q", line, code, out, errs, want)
		}
	}
	for line, want := range map[string]string{
		"":                                    "needs a type",
		"-type=key":                           "key is missing",
		"-type=nodes -key=x":                  `no parameter "key"`,
		"-type=nodes -shell=false /none/such": "/none/such",
	} {
		if out, errs, code := a.Run(append([]string{"watch"}, strings.Fields(line)...)...); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("watch %s: %d %q %q, want %q", line, code, out, errs, want)
		}
	}

	// With a program it goes on until it is told to end.
	cmd := exec.Command(testutil.Binary(t), "watch", "-http-addr="+a.HTTPAddr(), "-type=key", "-key=k", "cat", "|", "tr", "a-z", "A-Z")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	read := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("it prints %q, want %q: %v", lines.Text(), want, lines.Err())
		}
	}
	read("NULL")
	if err := a.API.KV().Put(t.Context(), &api.KVPair{Key: "k", Value: []byte("x")}, nil); err != nil {
		t.Fatal(err)
	}
	read(`"KEY":"K"`)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// TestMonitor shows what an agent logs while it is looked at.
func TestMonitor(t *testing.T) {
	a := testutil.Dev(t)
	cmd := exec.Command(testutil.Binary(t), "monitor", "-http-addr="+a.HTTPAddr(), "-log-level=debug", "-log-json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "/v1/kv/seen") {
				if !json.Valid(lines.Bytes()) {
					seen <- fmt.Errorf("no JSON: %s", lines.Text())
				}
				close(seen)
				return
			}
		}
		seen <- fmt.Errorf("the log ended: %v", lines.Err())
	}()
	testutil.Eventually(t, "a request in the log", func(ctx context.Context) error {
		if _, _, err := a.API.KV().Get(ctx, "seen", nil); err != nil {
			return err
		}
		select {
		case err := <-seen:
			if err != nil {
				t.Error(err)
			}
			return nil
		default:
			return errors.New("not seen")
		}
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	if _, errs, code := a.Run("monitor", "-log-level=loud"); code != 1 || !strings.Contains(errs, "loud") {
		t.Errorf("an unknown level: %d, %q", code, errs)
	}
}
