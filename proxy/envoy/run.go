package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// DrainTime is how long a connection lives on after a change took away what allowed it. Envoy's own default is ten
// minutes.
const DrainTime = 3 * time.Second

// RunOptions say how to start Envoy.
type RunOptions struct {
	Binary    string        // empty: envoy, from PATH
	Bootstrap []byte        // what Bootstrap returned
	DrainTime time.Duration // zero: DrainTime; whole seconds
	Args      []string      // for Envoy, after ours
}

// FindBinary returns the path of Envoy's binary.
func FindBinary(name string) (string, error) {
	if name == "" {
		name = "envoy"
	}
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", fmt.Errorf("could not find Envoy: %w; install it, put it in PATH or name it with -envoy-binary", err)
	}
	return path, nil
}

func (o RunOptions) args(configPath string) []string {
	drain := o.DrainTime
	if drain == 0 {
		drain = DrainTime
	}
	seconds := max(1, int(drain/time.Second))
	return append([]string{
		"--config-path", configPath, "--disable-hot-restart", "--drain-time-s", strconv.Itoa(seconds),
	}, o.Args...)
}

// Exec replaces this process by Envoy. It only returns if that fails. The bootstrap, which holds the token, is handed over in
// memory: it is neither written to a disk nor visible in the process list.
func Exec(o RunOptions) error {
	path, err := FindBinary(o.Binary)
	if err != nil {
		return err
	}
	file, err := memoryFile(o.Bootstrap)
	if err != nil {
		return fmt.Errorf("hand the bootstrap to Envoy: %w", err)
	}
	if err := keepOnExec(file); err != nil {
		return fmt.Errorf("hand the bootstrap to Envoy: %w", err)
	}
	args := append([]string{path}, o.args(fmt.Sprintf("/dev/fd/%d", file.Fd()))...)
	err = syscall.Exec(path, args, os.Environ())
	return fmt.Errorf("run %s: %w", path, errors.Join(err, file.Close()))
}

// Command returns Envoy as a child process that is not started yet. It is killed when the context ends.
func Command(ctx context.Context, o RunOptions) (*exec.Cmd, error) {
	path, err := FindBinary(o.Binary)
	if err != nil {
		return nil, err
	}
	file, err := memoryFile(o.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("hand the bootstrap to Envoy: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, o.args("/dev/fd/3")...)
	cmd.ExtraFiles = []*os.File{file}
	return cmd, nil
}

var versionPattern = regexp.MustCompile(`/(\d+\.\d+\.\d+)[^/]*/`)

// Version asks a binary for its version, such as "1.40.0".
func Version(ctx context.Context, binary string) (string, error) {
	path, err := FindBinary(binary)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	found := versionPattern.FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("%s does not tell its version: %.100q", path, out)
	}
	return string(found[1]), nil
}
