package command

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	agentconfig "github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

func configCommand() *cli.Command {
	kind := func() cli.Flag {
		return &cli.StringFlag{Name: "kind", Usage: "kind of the entry, such as service-defaults"}
	}
	name := func() cli.Flag { return &cli.StringFlag{Name: "name", Usage: "name of the entry"} }
	cas := func() cli.Flag {
		return &cli.BoolFlag{Name: "cas", Usage: "only if the entry's index is still -modify-index"}
	}
	index := func() cli.Flag {
		return &cli.Uint64Flag{Name: "modify-index", Usage: "index that the entry must have; 0: it must be absent"}
	}
	return &cli.Command{Name: "config", Usage: "read and write config entries: defaults and intentions of services", Category: aboutMesh, Subcommands: []*cli.Command{
		{
			Name: "delete", Usage: "delete an entry",
			Flags: tenantFlags(kind(), name(), &cli.StringFlag{Name: "filename", Usage: "delete the entry that this file has, in HCL or JSON"},
				cas(), index(), formatFlag()),
			Action: withClient(configDelete),
		},
		{
			Name: "list", Usage: "list the names of the entries of a kind",
			Flags:  tenantFlags(&cli.StringFlag{Name: "filter", Usage: "only those for which this expression holds"}, kind(), formatFlag()),
			Action: withClient(configList),
		},
		{Name: "read", Usage: "show an entry", Flags: tenantFlags(kind(), name(), formatFlag()), Action: withClient(configRead)},
		{
			Name: "write", Usage: "write an entry from an HCL or JSON file", ArgsUsage: "FILE|-", Flags: tenantFlags(cas(), index(), formatFlag()),
			Action: withClient(configWrite),
		},
	}}
}

func configWrite(c *cli.Context, client *api.Client) error {
	if err := takes(c, 1, 1); err != nil {
		return err
	}
	if c.IsSet("modify-index") && !c.Bool("cas") {
		return errors.New("-modify-index goes with -cas")
	}
	entry, err := entryFile(c, c.Args().First())
	if err != nil {
		return err
	}
	place := entry.EntryKind() + "/" + entry.EntryName()
	var cas *uint64
	index := c.Uint64("modify-index")
	if c.Bool("cas") {
		cas = &index
	}
	ok, warnings, err := client.ConfigEntries().Write(c.Context, entry, cas, nil)
	if err == nil && !ok {
		err = moved(index)
	}
	if err != nil {
		return failed(err, "writing config entry %s", place)
	}
	warn(c, warnings)
	return done(c, fields{"Kind": entry.EntryKind(), "Name": entry.EntryName()}, "Config entry written: %s", place)
}

// warn shows what was done but is not all that was meant.
func warn(c *cli.Context, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintf(c.App.ErrWriter, "Warning: %s\n", text)
	}
}

// entryFile reads an entry from a file in HCL or JSON. Text that begins with a brace is JSON, whatever the file is called.
func entryFile(c *cli.Context, name string) (api.ConfigEntry, error) {
	tree, err := treeOf(c, name)
	if err != nil {
		return nil, err
	}
	return agentconfig.DecodeEntry(tree)
}

// treeOf reads a file, or standard input, in HCL or JSON.
func treeOf(c *cli.Context, name string) (*hcl.Value, error) {
	data, shown, err := contents(c, name)
	if err != nil {
		return nil, err
	}
	return hcl.Parse(shown, data, notation(data))
}

// contents reads a file, or standard input, and tells what it is called in complaints.
func contents(c *cli.Context, name string) (data []byte, shown string, err error) {
	from, shown := "@"+name, filepath.Clean(name)
	if name == "-" {
		from, shown = name, "standard input"
	}
	data, err = input(c, from)
	return data, shown, err
}

// notation tells JSON from HCL by how a text begins: no HCL file begins with a brace.
func notation(data []byte) hcl.Format {
	if strings.HasPrefix(strings.TrimSpace(string(data[:min(len(data), 4096)])), "{") {
		return hcl.JSON
	}
	return hcl.HCL
}

// entryOf reads -kind and -name.
func entryOf(c *cli.Context) (kind, name string, err error) {
	if err := takes(c, 0, 0); err != nil {
		return "", "", err
	}
	kind, name = c.String("kind"), c.String("name")
	switch {
	case kind == "":
		return "", "", errors.New("must specify the -kind of the entry")
	case name == "":
		return "", "", errors.New("must specify the -name of the entry")
	}
	return kind, name, nil
}

// entryToDelete is entryOf, or the entry that a file has.
func entryToDelete(c *cli.Context) (kind, name string, err error) {
	file := c.String("filename")
	if file == "" {
		return entryOf(c)
	}
	if c.IsSet("kind") || c.IsSet("name") {
		return "", "", errors.New("-filename names the entry; leave -kind and -name out")
	}
	if err := takes(c, 0, 0); err != nil {
		return "", "", err
	}
	entry, err := entryFile(c, file)
	if err != nil {
		return "", "", err
	}
	return entry.EntryKind(), entry.EntryName(), nil
}

func configRead(c *cli.Context, client *api.Client) error {
	kind, name, err := entryOf(c)
	if err != nil {
		return err
	}
	entry, _, err := client.ConfigEntries().Get(c.Context, kind, name, query(c))
	if err == nil && entry == nil {
		err = fmt.Errorf("config entry not found for %q / %q", kind, name)
	}
	if err != nil {
		return failed(err, "reading config entry %s/%s", kind, name)
	}
	entry.Common().Hash = 0 // the servers' own, and none of what is written
	return showJSON(c.App.Writer, entry, "    ")
}

func configList(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	kind := c.String("kind")
	if kind == "" {
		return errors.New("must specify the -kind of the entries")
	}
	entries, _, err := client.ConfigEntries().List(c.Context, kind, query(c))
	if err != nil {
		return failed(err, "listing config entries for kind %q", kind)
	}
	return show(c, entries, func(w io.Writer) {
		for _, e := range entries {
			fmt.Fprintln(w, e.EntryName())
		}
	})
}

func configDelete(c *cli.Context, client *api.Client) error {
	kind, name, err := entryToDelete(c)
	if err != nil {
		return err
	}
	ok, cas, index := true, c.Bool("cas"), c.Uint64("modify-index")
	switch {
	case cas && index == 0:
		return errors.New("-cas needs the -modify-index that the entry must have, which is not 0")
	case !cas && c.IsSet("modify-index"):
		return errors.New("-modify-index goes with -cas")
	case cas:
		ok, err = client.ConfigEntries().DeleteCAS(c.Context, kind, name, index, nil)
	default:
		err = client.ConfigEntries().Delete(c.Context, kind, name, nil)
	}
	if err == nil && !ok {
		err = moved(index)
	}
	if err != nil {
		return failed(err, "deleting config entry %s/%s", kind, name)
	}
	return done(c, fields{"Kind": kind, "Name": name}, "Config entry deleted: %s/%s", kind, name)
}

// moved tells that somebody else was faster.
func moved(index uint64) error {
	return fmt.Errorf("its index is not %d; read it and try again", index)
}
