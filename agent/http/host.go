package http

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/parleymesh/parley/api"
)

// host is what the agent can tell about the machine that it runs on.
type host struct {
	Memory         map[string]uint64 // bytes
	CPU            []map[string]any
	Host           map[string]any
	CollectionTime int64
	Errors         []string
}

// agentHost describes the machine to operators. What it cannot find out, for instance because the system has no /proc, it
// names among the errors.
func agentHost(r *request) (any, error) {
	if err := r.need("operator", "", api.Read); err != nil {
		return nil, err
	}
	h := host{CollectionTime: time.Now().UnixNano()}
	h.Host = map[string]any{"os": runtime.GOOS, "kernelArch": runtime.GOARCH}
	for i := range runtime.NumCPU() {
		h.CPU = append(h.CPU, map[string]any{"cpu": i})
	}
	var err error
	if h.Host["hostname"], err = os.Hostname(); err != nil {
		h.Errors = append(h.Errors, err.Error())
	}
	if h.Memory, err = memory(); err != nil {
		h.Errors = append(h.Errors, err.Error())
	}
	return h, nil
}

// memory reads the few figures that tell whether a machine is short of it.
func memory() (map[string]uint64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	names := map[string]string{"MemTotal": "total", "MemFree": "free", "MemAvailable": "available", "SwapTotal": "swapTotal", "SwapFree": "swapFree"}
	out := map[string]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		key, rest, _ := strings.Cut(lines.Text(), ":")
		name, known := names[key]
		if !known {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("memory: %s in /proc/meminfo: %w", key, err)
		}
		out[name] = kib << 10
	}
	return out, nil
}
