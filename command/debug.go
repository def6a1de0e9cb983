package command

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

// captures are what debug can collect, in the order in which it is told.
var captures = []string{"agent", "host", "members", "cluster", "metrics", "logs", "pprof"}

func debugCommand() *cli.Command {
	return &cli.Command{
		Name: "debug", Usage: "collect in one file what helps to understand an agent", Category: aboutCluster,
		Description: "For a while it collects what the agent tells of itself, its host, the members and the servers, its figures, its log and, where\n" +
			"enable_debug is set, profiles. Ctrl-C ends it early; what there is by then is kept. No key, token or value of the KV store is\n" +
			"collected, but names and addresses are: look before you pass the file on.",
		Flags: clientFlags(
			&cli.DurationFlag{Name: "duration", Value: 2 * time.Minute, Usage: "how long to collect"},
			&cli.DurationFlag{Name: "interval", Value: 30 * time.Second, Usage: "how often figures and profiles are taken"},
			&cli.StringSliceFlag{Name: "capture", Usage: "one of " + strings.Join(captures, ", ") + ", several times; all if not given"},
			&cli.StringFlag{Name: "output", Usage: "the file, or with -archive=false the directory, without its extension"},
			&cli.BoolFlag{Name: "archive", Value: true, Usage: "pack everything into one .tar.gz"},
			formatFlag(),
		),
		Action: withClient(collectDebug),
	}
}

// collection is what debug has collected so far, in a directory.
type collection struct {
	client *api.Client
	dir    string

	mu    sync.Mutex
	index debugIndex
}

// debugIndex tells what is in a collection, and what could not be had.
type debugIndex struct {
	Program            string
	Agent              string
	Began, Ended       time.Time
	Duration, Interval string
	Captures           []string
	Missing            map[string]string // why, by the file
}

func collectDebug(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	for _, f := range []string{"duration", "interval"} {
		if c.Duration(f) < time.Second {
			return complain(fmt.Sprintf("-%s %v: want a second or more", f, c.Duration(f)))
		}
	}
	wanted := c.StringSlice("capture")
	for _, w := range wanted {
		if !slices.Contains(captures, w) {
			return complain(fmt.Sprintf("-capture %q is not known: use %s", w, strings.Join(captures, ", ")))
		}
	}
	if len(wanted) == 0 {
		wanted = captures
	}
	began := time.Now()
	output := c.String("output")
	if output == "" {
		output = "parley-debug-" + began.UTC().Format("2006-01-02T15-04-05Z")
	}
	target := output
	if c.Bool("archive") {
		target += ".tar.gz"
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		return complain(fmt.Sprintf("-output: %s is there already", target))
	}
	self, _, err := client.Agent().Self(c.Context, nil)
	if err != nil {
		return failed(err, "asking the agent who it is")
	}
	dir, err := os.MkdirTemp(filepath.Dir(output), "."+filepath.Base(output)+".*") // nobody else may read it
	if err != nil {
		return failed(err, "collecting")
	}
	defer os.RemoveAll(dir)
	d := &collection{client: client, dir: dir, index: debugIndex{
		Program: "parley " + Version + " " + commit, Agent: self.Config.NodeName, Began: began, Captures: wanted, Missing: map[string]string{},
		Duration: c.Duration("duration").String(), Interval: c.Duration("interval").String(),
	}}
	fmt.Fprintf(c.App.ErrWriter, "Collecting from %s for %v: %s. Ctrl-C ends it early.\n", self.Config.NodeName, c.Duration("duration"), strings.Join(wanted, ", "))
	d.collect(c.Context, wanted, c.Duration("duration"), c.Duration("interval"))
	if err := d.finish(); err != nil {
		return failed(err, "collecting")
	}
	if err := keepCollection(dir, target, c.Bool("archive")); err != nil {
		return failed(err, "writing %s", target)
	}
	for _, file := range slices.Sorted(maps.Keys(d.index.Missing)) {
		fmt.Fprintf(c.App.ErrWriter, "Without %s: %s\n", file, d.index.Missing[file])
	}
	return done(c, fields{"File": target, "Missing": d.index.Missing}, "Wrote %s", target)
}

// collect does so until the time is over or the context is.
func (d *collection) collect(ctx context.Context, wanted []string, duration, interval time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	wants := func(what string) bool { return slices.Contains(wanted, what) }
	var running sync.WaitGroup
	defer running.Wait()
	if wants("logs") {
		running.Go(func() { d.log(ctx) })
	}
	for file, path := range map[string]string{
		"agent": "/v1/agent/self", "host": "/v1/agent/host", "members": "/v1/agent/members",
	} {
		if wants(file) {
			d.fetch(ctx, file+".json", path, nil)
		}
	}
	if wants("cluster") {
		d.fetch(ctx, "raft.json", "/v1/operator/raft/configuration", nil)
		d.fetch(ctx, "autopilot.json", "/v1/operator/autopilot/state", nil)
	}
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for round := 1; ; round++ {
		at := fmt.Sprintf("%03d", round)
		if wants("metrics") {
			d.fetch(ctx, filepath.Join(at, "metrics.json"), "/v1/agent/metrics", nil)
		}
		if wants("pprof") {
			running.Go(func() { d.profile(ctx, at, interval, duration) })
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

// profile takes the profiles of one interval; that of the processor lasts nearly as long.
func (d *collection) profile(ctx context.Context, at string, interval, duration time.Duration) {
	if !d.fetch(ctx, filepath.Join(at, "heap.prof"), "/debug/pprof/heap", nil) {
		return // without enable_debug there are none
	}
	d.fetch(ctx, filepath.Join(at, "goroutine.txt"), "/debug/pprof/goroutine", url.Values{"debug": {"2"}})
	seconds := max(int(min(interval, duration)/time.Second)-1, 1)
	d.fetch(ctx, filepath.Join(at, "profile.prof"), "/debug/pprof/profile", url.Values{"seconds": {strconv.Itoa(seconds)}})
}

// fetch writes an answer of the agent to a file, and reports whether there was one.
func (d *collection) fetch(ctx context.Context, file, path string, params url.Values) bool {
	body, _, err := d.client.Read(ctx, path, nil, params)
	if err == nil {
		err = d.write(file, body)
	}
	if err != nil && ctx.Err() != nil {
		err = errors.New("the time was over")
	}
	d.missing(file, err)
	return err == nil
}

func (d *collection) missing(file string, err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	d.index.Missing[file] = strings.TrimSpace(err.Error())
	d.mu.Unlock()
}

func (d *collection) write(file string, data []byte) error {
	path := filepath.Join(d.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if json.Valid(data) {
		var shown bytes.Buffer
		if json.Indent(&shown, data, "", "  ") == nil {
			data = shown.Bytes()
		}
	}
	return os.WriteFile(path, data, 0o600)
}

// log follows what the agent logs.
func (d *collection) log(ctx context.Context) {
	const file = "parley.log"
	f, err := os.OpenFile(filepath.Join(d.dir, file), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		d.missing(file, err)
		return
	}
	err = d.client.Agent().Monitor(ctx, "debug", false, f, nil)
	if ctx.Err() != nil {
		err = nil // it has no end of its own
	}
	d.missing(file, errors.Join(err, f.Close()))
}

func (d *collection) finish() error {
	d.index.Ended = time.Now()
	text, err := json.Marshal(d.index)
	if err != nil {
		return err
	}
	return d.write("index.json", text)
}

// keepCollection puts what is in a directory where it is wanted, whole or not at all.
func keepCollection(dir, target string, archive bool) error {
	if !archive {
		return os.Rename(dir, target)
	}
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	name := strings.TrimSuffix(filepath.Base(target), ".tar.gz")
	if err := errors.Join(pack(f, dir, name), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}

// pack writes the files of a directory as a .tar.gz, beneath a name.
func pack(w io.Writer, dir, name string) error {
	zipped := gzip.NewWriter(w)
	packed := tar.NewWriter(zipped)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: name + "/" + filepath.ToSlash(rel), Mode: 0o600, Size: int64(len(data)), ModTime: time.Now()}
		if err := packed.WriteHeader(h); err != nil {
			return err
		}
		_, err = packed.Write(data)
		return err
	})
	return errors.Join(err, packed.Close(), zipped.Close())
}
