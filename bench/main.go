// Command bench drives a running agent, of Parley or of anything compatible, over HTTP and DNS from outside, and prints for each
// piece of work the rate, the latency, and the CPU time that the server's process spent on one operation. It knows the public
// interfaces only, so the figures of two binaries can be laid side by side.
//
//	bench -http 127.0.0.1:8500 -dns 127.0.0.1:8600 -pid 1234 [-n 5000] [-c 16] [work ...]
//	bench start -bin bin/parley [-runs 5] [-idle 5s] [dev server cluster]
//
// The second form starts agents itself, and measures the time to their first answered write and the memory of idle ones.
// Quote ratios and CPU per operation: rates and latencies are the machine's as much as the program's. The file system matters
// too: where many files were deleted a moment ago, as in a /tmp that tests use, ext4 takes a millisecond of CPU to make one, so a
// data directory (and TMPDIR, for starts) is better elsewhere. wake-1000 wants limits.http_max_conns_per_client above 1000.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	do, args := run, os.Args[1:]
	if len(args) > 0 && args[0] == "start" {
		do, args = start, args[1:]
	}
	if err := do(args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	httpAddr := flags.String("http", "127.0.0.1:8500", "the agent's HTTP address")
	dnsAddr := flags.String("dns", "127.0.0.1:8600", "the agent's DNS address")
	pid := flags.Int("pid", 0, "the server's process id, for its CPU time and memory; 0 does without")
	n := flags.Int("n", 5000, "operations for each piece of work")
	c := flags.Int("c", 16, "how many clients work at a time")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *n < 1 || *c < 1 || *c > len(sockets) {
		return fmt.Errorf("-n %d and -c %d must be at least 1, and -c at most %d", *n, *c, len(sockets))
	}
	all := works(*httpAddr, *dnsAddr)
	for _, name := range flags.Args() {
		if !slices.ContainsFunc(all, func(w work) bool { return w.name == name }) {
			return fmt.Errorf("no work is called %q: %s", name, strings.Join(names(all), ", "))
		}
	}
	fmt.Printf("%-28s %10s %10s %10s %10s %12s %10s\n", "work", "ops", "ops/s", "p50", "p99", "CPU/op", "RSS")
	for _, w := range all {
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), w.name) {
			continue
		}
		if err := w.prepare(); err != nil {
			return fmt.Errorf("prepare %s: %w", w.name, err)
		}
		r, err := drive(w.do, *n, *c, *pid)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		fmt.Printf("%-28s %10d %10.0f %10s %10s %12s %10s\n", w.name, r.ops, float64(r.ops)/r.took.Seconds(),
			r.percentile(50), r.percentile(99), r.cpuText(), r.rssText())
	}
	return nil
}

func names(all []work) []string {
	var out []string
	for _, w := range all {
		out = append(out, w.name)
	}
	return out
}

// result is what one piece of work took.
type result struct {
	ops   int
	took  time.Duration
	each  []time.Duration // sorted
	cpu   time.Duration   // of the server, in all; negative when it is not known
	rssKB int
}

func (r result) percentile(p int) time.Duration {
	return r.each[min(len(r.each)-1, len(r.each)*p/100)].Round(time.Microsecond)
}

func (r result) cpuText() string {
	if r.cpu < 0 {
		return "-"
	}
	return (r.cpu / time.Duration(r.ops)).Round(100 * time.Nanosecond).String()
}

func (r result) rssText() string {
	if r.rssKB == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MB", float64(r.rssKB)/1024)
}
