package http

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/parleymesh/parley/api"
)

// host is what the agent can tell about the machine that it runs on.
type host struct {
	Memory         map[string]any // bytes, but for usedPercent
	CPU            []map[string]any
	Host           map[string]any
	Disk           map[string]any // of the data directory; bytes, but for what says otherwise
	CollectionTime int64
	Errors         []string
}

// agentHost describes the machine to operators. What it cannot find out, for instance because the system has no /proc, it
// names among the errors.
func agentHost(r *request) (any, error) {
	if err := r.need("operator", "", api.Read); err != nil {
		return nil, err
	}
	now := time.Now()
	h := host{CollectionTime: now.UnixNano()}
	note := func(err error) {
		if err != nil {
			h.Errors = append(h.Errors, err.Error())
		}
	}
	var err error
	h.CPU, err = processors()
	note(err)
	h.Memory, err = memory()
	note(err)
	h.Host = map[string]any{"os": runtime.GOOS, "kernelArch": runtime.GOARCH}
	h.Host["hostname"], err = os.Hostname()
	note(err)
	note(system(h.Host, now))
	h.Disk, err = disk(r.s.opts.DataDir)
	note(err)
	return h, nil
}

// fields yields the names and values of a file with a line "name: value" (or, with another separator, name=value) for each.
func fields(data []byte, separator string) func(yield func(name, value string) bool) {
	return func(yield func(string, string) bool) {
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			name, value, ok := strings.Cut(lines.Text(), separator)
			if ok && !yield(strings.TrimSpace(name), strings.TrimSpace(value)) {
				return
			}
		}
	}
}

// memory reads the few figures that tell whether a machine is short of it.
func memory() (map[string]any, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	names := map[string]string{"MemTotal": "total", "MemFree": "free", "MemAvailable": "available", "SwapTotal": "swapTotal", "SwapFree": "swapFree"}
	got := map[string]uint64{}
	for key, value := range fields(data, ":") {
		name, known := names[key]
		if !known {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("memory: %s in /proc/meminfo: %w", key, err)
		}
		got[name] = kib << 10
	}
	out := map[string]any{}
	for name, bytes := range got {
		out[name] = bytes
	}
	if total := got["total"]; total > 0 {
		used := total - min(got["available"], total)
		out["used"], out["usedPercent"] = used, percent(used, total)
	}
	return out, nil
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) * 100 / float64(whole)
}

// processors lists them with what tells one model from another.
func processors() ([]map[string]any, error) {
	var out []map[string]any
	for i := range runtime.NumCPU() {
		out = append(out, map[string]any{"cpu": i})
	}
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return out, fmt.Errorf("processors: %w", err)
	}
	names := map[string]string{"vendor_id": "vendorId", "model name": "modelName", "cpu MHz": "mhz", "physical id": "physicalId", "core id": "coreId"}
	i := -1
	for key, value := range fields(data, ":") {
		switch name := names[key]; {
		case key == "processor":
			i++
		case name == "" || i < 0 || i >= len(out):
		case name == "mhz":
			if mhz, err := strconv.ParseFloat(value, 64); err == nil {
				out[i][name] = mhz
			}
		default:
			out[i][name] = value
		}
	}
	return out, nil
}

// system adds what tells which system it is and for how long it has been running.
func system(to map[string]any, now time.Time) error {
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return fmt.Errorf("uptime: %w", err)
	}
	text, _, _ := strings.Cut(string(uptime), " ")
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("uptime: /proc/uptime: %w", err)
	}
	to["uptime"], to["bootTime"] = uint64(seconds), uint64(now.Unix())-uint64(seconds)
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		to["kernelVersion"] = strings.TrimSpace(string(release))
	}
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		names := map[string]string{"ID": "platform", "ID_LIKE": "platformFamily", "VERSION_ID": "platformVersion"}
		for key, value := range fields(release, "=") {
			if name := names[key]; name != "" {
				to[name] = strings.Trim(value, `"`)
			}
		}
	}
	return nil
}

// disk tells how full the file system of a directory is; without one, the root's.
func disk(dir string) (map[string]any, error) {
	if dir == "" {
		dir = "/"
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return nil, fmt.Errorf("disk: %s: %w", dir, err)
	}
	size := uint64(s.Bsize)
	total, free, available := s.Blocks*size, s.Bfree*size, s.Bavail*size
	used := total - min(free, total)
	return map[string]any{
		"path": dir, "total": total, "free": available, "used": used, "usedPercent": percent(used, used+available),
		"inodesTotal": s.Files, "inodesFree": s.Ffree, "inodesUsed": s.Files - min(s.Ffree, s.Files),
		"inodesUsedPercent": percent(s.Files-min(s.Ffree, s.Files), s.Files),
	}, nil
}
