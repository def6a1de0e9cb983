package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/archive"
	"github.com/parleymesh/parley/server/state"
)

func snapshotCommand() *cli.Command {
	return &cli.Command{Name: "snapshot", Usage: "save and restore the servers' state as a whole", Category: aboutCluster, Subcommands: []*cli.Command{
		{
			Name: "save", Usage: "save the state of now to a file", ArgsUsage: "FILE",
			Description: "The file holds every secret of the cluster, the key of its certificate authority among them: only its owner may\nread it, " +
				"and it belongs where secrets are kept. A file of that name is replaced once the new one is whole.",
			Flags: clientFlags(formatFlag(), &cli.StringFlag{
				Name: "append-filename", Usage: "put some of version,dc,node,status into the file's name, before its extension",
			}),
			Action: withClient(snapshotSave),
		},
		{
			Name: "restore", Usage: "put the state of a file in the place of all there is", ArgsUsage: "FILE",
			Description: "All servers get it, and what has happened since the file was saved is gone. A file that is damaged changes nothing.",
			Flags:       clientFlags(formatFlag()), Action: withClient(snapshotRestore),
		},
		{
			Name: "inspect", Usage: "show what is in a file, and that it is whole", ArgsUsage: "FILE",
			Flags: []cli.Flag{
				formatFlag(),
				&cli.BoolFlag{Name: "kvdetails", Usage: "show how much room the keys take, by prefix"},
				&cli.IntFlag{Name: "kvdepth", Value: 2, Usage: "with -kvdetails, how many parts of a key make a prefix"},
				&cli.StringFlag{Name: "kvfilter", Usage: "with -kvdetails, only keys that begin with this"},
			},
			Action: snapshotInspect,
		},
		{
			Name: "decode", Usage: "show all of a file as JSON, a row a line", ArgsUsage: "FILE",
			Description: "Secrets are shown as well.",
			Action:      snapshotDecode,
		},
	}}
}

// archiveName returns the file that a command is about.
func archiveName(c *cli.Context) (string, error) {
	if c.NArg() == 0 {
		return "", complain("Missing FILE argument")
	}
	if err := takes(c, 1, 1); err != nil {
		return "", err
	}
	return c.Args().First(), nil
}

func complain(line string) error { return &complaint{line: line} }

func snapshotSave(c *cli.Context, client *api.Client) error {
	name, err := archiveName(c)
	if err != nil {
		return err
	}
	if name, err = appendToName(c, client, name); err != nil {
		return err
	}
	q := &api.QueryOptions{}
	if c.Bool("stale") {
		q.Mode = api.Stale
	}
	body, _, err := client.Snapshot().Save(c.Context, q)
	if err != nil {
		return failed(err, "saving snapshot")
	}
	defer body.Close()
	m, err := keepArchive(name, body)
	if err != nil {
		return failed(err, "saving snapshot")
	}
	where := ""
	if c.String("append-filename") != "" {
		where = " in " + name
	}
	return done(c, fields{"File": name, "Meta": metaShown(m)}, "Saved and verified snapshot to index %d%s", m.Index, where)
}

// keepArchive writes an archive to a file beside the one of that name, reads it back from the disk, and only then puts it in its
// place. Nobody but its owner may read it.
func keepArchive(name string, body io.Reader) (m archive.Meta, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // with mode 0600
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := io.Copy(f, body); err != nil {
		return m, fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return m, err
	}
	if m, err = verifyArchive(f.Name()); err != nil {
		return m, err
	}
	if err := f.Close(); err != nil {
		return m, err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return m, err
	}
	syncDir(filepath.Dir(name))
	return m, nil
}

// syncDir makes sure that a name outlives a power cut, where the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

func verifyArchive(name string) (archive.Meta, error) {
	return readArchive(name, func(state.Row) error { return nil })
}

// readArchive calls row for each row of a file. When it returns an error the rows may be anything.
func readArchive(name string, row func(state.Row) error) (archive.Meta, error) {
	f, err := os.Open(name)
	if err != nil {
		return archive.Meta{}, err
	}
	defer f.Close()
	return archive.Read(f, func(_ archive.Meta, in io.Reader) error { return state.Inspect(bufio.NewReaderSize(in, 64<<10), row) })
}

// appendToName puts what -append-filename asks for into a file's name.
func appendToName(c *cli.Context, client *api.Client, name string) (string, error) {
	wanted := strings.Split(c.String("append-filename"), ",")
	if c.String("append-filename") == "" {
		return name, nil
	}
	for _, w := range wanted {
		if !slices.Contains([]string{"version", "dc", "node", "status"}, w) {
			return "", failed(fmt.Errorf("-append-filename has %q, which is none of version, dc, node and status", w), "saving snapshot")
		}
	}
	self, _, err := client.Agent().Self(c.Context, nil)
	if err != nil {
		return "", failed(err, "saving snapshot")
	}
	ext := filepath.Ext(name)
	out := strings.TrimSuffix(name, ext)
	for _, part := range []struct {
		name string
		text func() (string, error)
	}{
		{"version", func() (string, error) { return self.Config.Version, nil }},
		{"dc", func() (string, error) {
			if dc := c.String("datacenter"); dc != "" {
				return dc, nil
			}
			return self.Config.Datacenter, nil
		}},
		{"node", func() (string, error) { return self.Config.NodeName, nil }},
		{"status", func() (string, error) { return roleOf(c.Context, client, self) }},
	} {
		if !slices.Contains(wanted, part.name) {
			continue
		}
		text, err := part.text()
		if err != nil {
			return "", failed(err, "saving snapshot")
		}
		out += "-" + strings.ReplaceAll(text, string(filepath.Separator), "_")
	}
	return out + ext, nil
}

// roleOf tells what part an agent has in the replication.
func roleOf(ctx context.Context, client *api.Client, self api.Self) (string, error) {
	if !self.Config.Server {
		return "client", nil
	}
	raft, _, err := client.Operator().RaftConfiguration(ctx, nil)
	if err != nil {
		return "", err
	}
	for _, s := range raft.Servers {
		if s.Leader && s.Node == self.Config.NodeName {
			return "leader", nil
		}
	}
	return "follower", nil
}

func snapshotRestore(c *cli.Context, client *api.Client) error {
	name, err := archiveName(c)
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return failed(err, "opening snapshot file")
	}
	defer f.Close()
	err = client.Snapshot().Restore(c.Context, f, nil)
	if err != nil {
		return failed(err, "restoring snapshot")
	}
	return done(c, fields{"File": name}, "Restored snapshot")
}
