package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// drive carries out do n times, by c clients at a time. The first error ends it.
func drive(do func(client, i int) error, n, c, pid int) (result, error) {
	before, err := cpuOf(pid)
	if err != nil {
		return result{}, err
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	times := make([][]time.Duration, c)
	var clients sync.WaitGroup
	began := time.Now()
	for client := range c {
		clients.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				at := time.Now()
				if err := do(client, i); err != nil {
					failed.CompareAndSwap(nil, &err)
					return
				}
				times[client] = append(times[client], time.Since(at))
			}
		})
	}
	clients.Wait()
	r := result{ops: n, took: time.Since(began), each: slices.Concat(times...), cpu: -1}
	if err := failed.Load(); err != nil {
		return r, *err
	}
	slices.Sort(r.each)
	after, err := cpuOf(pid)
	if err != nil {
		return r, err
	}
	if pid != 0 {
		r.cpu, r.rssKB = after-before, rssOf(pid)
	}
	return r, nil
}

// tick is the unit of CPU time in /proc: USER_HZ, which is 100 on every Linux.
const tick = 10 * time.Millisecond

// cpuOf returns the CPU time that a process has spent, by /proc/<pid>/stat.
func cpuOf(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses, which may hold anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat cannot be understood", pid)
	}
	user, err := strconv.Atoi(string(fields[11]))
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * tick, err
}

// rssOf returns the memory that a process holds, in KiB.
func rssOf(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kb, _ := strconv.Atoi(string(bytes.Fields(rest)[0]))
			return kb
		}
	}
	return 0
}
