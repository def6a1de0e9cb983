package feature

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/parleymesh/parley/testutil"
)

// terminal is a shell that somebody types into.
type terminal struct {
	t    *testing.T
	keys *os.File
	mu   sync.Mutex // guards seen
	seen bytes.Buffer
}

// openTerminal starts a program on a terminal of its own.
func openTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("skipped: no terminal can be opened: %v", err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 200})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	term := &terminal{t: t, keys: master}
	over := make(chan struct{})
	go func() {
		defer close(over)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			term.mu.Lock()
			term.seen.Write(buf[:n])
			term.mu.Unlock()
			if err != nil { // the shell has gone
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		<-over
		_ = master.Close()
		if t.Failed() {
			t.Logf("the terminal shows %q", term.seen.String())
		}
	})
	return term
}

// types sends keys and waits until the terminal shows something more.
func (term *terminal) types(keys, shows string) {
	term.t.Helper()
	term.mu.Lock()
	term.seen.Reset()
	term.mu.Unlock()
	if _, err := term.keys.WriteString(keys); err != nil {
		term.t.Fatal(err)
	}
	term.shows(shows)
}

func (term *terminal) shows(text string) {
	term.t.Helper()
	testutil.Eventually(term.t, fmt.Sprintf("the terminal to show %q", text), func(context.Context) error {
		term.mu.Lock()
		defer term.mu.Unlock()
		if !strings.Contains(term.seen.String(), text) {
			return fmt.Errorf("it shows %q", term.seen.String())
		}
		return nil
	})
}

// TestCompletion types into the shells that people use, which have the completion installed, and has them run what it made.
func TestCompletion(t *testing.T) {
	a := testutil.Dev(t)
	a.Must("kv", "put", "config/colour", "blue")
	a.Must("kv", "put", "config/a b", "spaced")
	a.Must("services", "register", "-name=completed")
	a.Must("intention", "create", "completed", "db")
	bin := t.TempDir()
	if err := os.Symlink(testutil.Binary(t), filepath.Join(bin, "parley")); err != nil {
		t.Fatal(err)
	}
	environment := func(home, shell string) []string {
		return []string{
			"HOME=" + home, "SHELL=/bin/" + shell, "PATH=" + bin + ":" + os.Getenv("PATH"), "TERM=dumb", "LC_ALL=C.UTF-8", "PS1=ready> ",
			"PARLEY_HTTP_ADDR=" + a.HTTPAddr(),
		}
	}
	installed := func(t *testing.T, shell, file, before string) []string {
		t.Helper()
		home := t.TempDir()
		path := filepath.Join(home, file)
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, flag := range []string{"-autocomplete-install", "-autocomplete-install", "-autocomplete-uninstall", "--autocomplete-install"} {
			cmd := exec.Command(filepath.Join(bin, "parley"), flag)
			cmd.Env = environment(home, shell)
			if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte(path)) {
				t.Fatalf("%s: %v, %s", flag, err, out)
			}
			data, err := os.ReadFile(path)
			if err != nil || flag == "-autocomplete-uninstall" && string(data) != before || strings.Count(string(data), "__complete") > 1 {
				t.Fatalf("%s: %v\n%s", flag, err, data)
			}
		}
		return environment(home, shell)
	}

	t.Run("bash", func(t *testing.T) {
		cmd := exec.Command(testutil.Tool(t, "bash"), "-i")
		cmd.Env = installed(t, "bash", ".bashrc", "PS1='ready> '\nbind 'set enable-bracketed-paste off'\n")
		term := openTerminal(t, cmd)
		term.shows("ready> ")
		term.types("parley kv ge\t conf\tcol\t\n", "blue")
		term.types("parley kv get config/a\t\n", "spaced")
		term.types("parley catalog nodes -format=js\t\n", `"Node": "dev"`)
		term.types("parley intention check comp\t db -form\t json\n", `"Allowed": true`)
		term.types("parley services dereg\t -id com\t\n", "Deregistered service: completed")
	})

	t.Run("bash, as the public command line is installed", func(t *testing.T) {
		home := t.TempDir()
		rc := "PS1='ready> '\nbind 'set enable-bracketed-paste off'\ncomplete -C " + bin + "/parley parley\n"
		if err := os.WriteFile(filepath.Join(home, ".bashrc"), []byte(rc), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(testutil.Tool(t, "bash"), "-i")
		cmd.Env = environment(home, "bash")
		term := openTerminal(t, cmd)
		term.shows("ready> ")
		term.types("parley catalog no\t-format=js\t\n", `"Node": "dev"`)
	})

	t.Run("zsh", func(t *testing.T) {
		cmd := exec.Command(testutil.Tool(t, "zsh"), "-i")
		cmd.Env = installed(t, "zsh", ".zshrc", "PS1='ready> '\n")
		term := openTerminal(t, cmd)
		term.shows("ready> ")
		term.types("parley kv ge\tconf\tcol\t\n", "blue")
		term.types("parley catalog nodes -format=js\t\n", `"Node": "dev"`)
	})

	t.Run("fish", func(t *testing.T) {
		fish := testutil.Tool(t, "fish")
		home := t.TempDir()
		install := exec.Command(filepath.Join(bin, "parley"), "completion", "-install", "fish")
		install.Env = environment(home, "fish")
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%v, %s", err, out)
		}
		for line, want := range map[string]string{
			"parley kv ge": "get\tshow the value", "parley kv get conf": "config/", "parley kv get config/col": "config/colour",
			"parley members -format ": "json", "parley intention delete ": "completed",
		} {
			cmd := exec.Command(fish, "-c", "complete -C '"+line+"'")
			cmd.Env = environment(home, "fish")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v, %s", line, err, out)
			}
		}
	})
}
