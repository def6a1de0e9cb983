package command

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

// maxInput bounds what is read from standard input or a file, in bytes: far more than an agent takes.
const maxInput = 64 << 20

func kvCommand() *cli.Command {
	cas := func() cli.Flag {
		return &cli.BoolFlag{Name: "cas", Usage: "only if the key's index is still -modify-index"}
	}
	index := func() cli.Flag {
		return &cli.Uint64Flag{Name: "modify-index", Usage: "index that the key must have; 0: it must be absent"}
	}
	return &cli.Command{Name: "kv", Usage: "read and write keys", Category: aboutKeys, Subcommands: []*cli.Command{
		{
			Name: "get", Usage: "show the value of a key, or what lies beneath a prefix", ArgsUsage: "KEY|PREFIX",
			Flags: tenantFlags(
				&cli.BoolFlag{Name: "base64", Usage: "show the value in base64"},
				&cli.BoolFlag{Name: "detailed", Usage: "show what else is known of the key"},
				&cli.BoolFlag{Name: "keys", Usage: "list the keys beneath the prefix"},
				&cli.BoolFlag{Name: "recurse", Usage: "show all keys beneath the prefix with their values"},
				&cli.StringFlag{Name: "separator", Usage: "with -keys, list only up to the next of these"},
				formatFlag(),
			),
			Action: withClient(kvGet),
		},
		{
			Name: "put", Usage: "write a key", ArgsUsage: "KEY [VALUE|@FILE|-]",
			Description: "Without a value the key is written empty. @FILE stands for what is in a file, - for standard input. Flags come\nbefore the key, so that a value may begin with a dash.",
			Flags: tenantFlags(
				&cli.BoolFlag{Name: "acquire", Usage: "and lock the key for -session"},
				&cli.BoolFlag{Name: "base64", Usage: "the value is given in base64"},
				cas(),
				&cli.Uint64Flag{Name: "flags", Usage: "a number of your own to keep with the key"},
				index(),
				&cli.BoolFlag{Name: "release", Usage: "and give up the lock of -session"},
				&cli.StringFlag{Name: "session", Usage: "id of the session for -acquire or -release"},
				formatFlag(),
			),
			Action: withClient(kvPut),
		},
		{
			Name: "delete", Usage: "delete a key, or all that lie beneath a prefix", ArgsUsage: "KEY|PREFIX",
			Flags: tenantFlags(cas(), index(),
				&cli.BoolFlag{Name: "recurse", Usage: "delete all keys beneath the prefix"},
				formatFlag(),
			),
			Action: withClient(kvDelete),
		},
		{Name: "export", Usage: "write all keys beneath a prefix as JSON", ArgsUsage: "[PREFIX]", Flags: tenantFlags(formatFlag()), Action: withClient(kvExport)},
		{
			Name: "import", Usage: "write keys that were exported", ArgsUsage: "@FILE|-|JSON",
			Flags:  tenantFlags(&cli.StringFlag{Name: "prefix", Usage: "put the keys beneath this one; a slash goes between"}, formatFlag()),
			Action: withClient(kvImport),
		},
	}}
}

// keyOf returns the key that a command is about. A slash in front, which people write as in a path, is no part of it.
func keyOf(c *cli.Context, most int, mayLack bool) (string, error) {
	switch n := c.NArg(); {
	case n > most && most == 2:
		return "", refused("Too many arguments (expected 1 or 2, got %d); flags come before the key", n)
	case n > most:
		return "", refused("Too many arguments (expected %d, got %d)", most, n)
	case n == 0 && !mayLack:
		return "", refused("Missing KEY argument")
	}
	key := strings.TrimPrefix(c.Args().First(), "/")
	if key == "" && !mayLack {
		return "", refused("Missing KEY argument")
	}
	return key, nil
}

func kvGet(c *cli.Context, client *api.Client) error {
	key, err := keyOf(c, 1, c.Bool("keys") || c.Bool("recurse"))
	if err != nil {
		return err
	}
	switch {
	case c.Bool("keys"):
		names, _, err := client.KV().Keys(c.Context, key, c.String("separator"), query(c))
		if err != nil {
			return failed(err, "querying the agent for keys beneath %q", key)
		}
		return show(c, names, func(w io.Writer) { showLines(w, names) })
	case c.Bool("recurse"):
		list, _, err := client.KV().List(c.Context, key, query(c))
		if err != nil {
			return failed(err, "querying the agent for keys beneath %q", key)
		}
		return show(c, list, func(w io.Writer) { showPairs(c, w, list) })
	}
	p, _, err := client.KV().Get(c.Context, key, query(c))
	switch {
	case err != nil:
		return failed(err, "querying the agent for key %q", key)
	case p == nil:
		return refused("No key exists at: %s", key)
	}
	return show(c, p, func(w io.Writer) {
		if c.Bool("detailed") {
			showPair(c, w, p)
		} else {
			fmt.Fprintln(w, valueText(c, p))
		}
	})
}

func showPairs(c *cli.Context, w io.Writer, list []api.KVPair) {
	for i, p := range list {
		if !c.Bool("detailed") {
			fmt.Fprintf(w, "%s:%s\n", p.Key, valueText(c, &p))
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		showPair(c, w, &p)
	}
}

func valueText(c *cli.Context, p *api.KVPair) string {
	if c.Bool("base64") {
		return base64.StdEncoding.EncodeToString(p.Value)
	}
	return string(p.Value)
}

func showPair(c *cli.Context, w io.Writer, p *api.KVPair) {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	session := p.Session
	if session == "" {
		session = "-"
	}
	rows := [][]string{
		{"CreateIndex", number(p.CreateIndex)}, {"Flags", number(p.Flags)}, {"Key", p.Key}, {"LockIndex", number(p.LockIndex)},
		{"ModifyIndex", number(p.ModifyIndex)}, {"Session", session}, {"Value", valueText(c, p)},
	}
	columns(w, 6, rows)
}

func kvPut(c *cli.Context, client *api.Client) error {
	key, err := keyOf(c, 2, false)
	if err != nil {
		return err
	}
	p := &api.KVPair{Key: key, Flags: c.Uint64("flags"), ModifyIndex: c.Uint64("modify-index"), Session: c.String("session")}
	if p.Value, err = valueOf(c, c.Args().Get(1)); err != nil {
		return err
	}
	acquire, release := c.Bool("acquire"), c.Bool("release")
	switch {
	case acquire && release || c.Bool("cas") && (acquire || release):
		return refused("Only one of -acquire, -release and -cas may be given")
	case (acquire || release) && p.Session == "":
		return refused("Missing -session, which -acquire and -release need")
	case p.Session != "" && !acquire && !release:
		return refused("-session goes with -acquire or -release")
	case c.IsSet("modify-index") && !c.Bool("cas"):
		return refused("-modify-index goes with -cas")
	}
	ok, why := true, ""
	switch kv := client.KV(); {
	case c.Bool("cas"):
		ok, err = kv.CAS(c.Context, p, nil)
		why = "CAS failed: its index is not " + strconv.FormatUint(p.ModifyIndex, 10)
		if p.ModifyIndex == 0 {
			why = "CAS performed with index=0 and key already exists."
		}
	case acquire:
		ok, err = kv.Acquire(c.Context, p, nil)
		why = "another session has locked it"
	case release:
		ok, err = kv.Release(c.Context, p, nil)
		why = "session " + p.Session + " does not hold its lock"
	default:
		err = kv.Put(c.Context, p, nil)
	}
	switch {
	case err != nil:
		return &complaint{line: fmt.Sprintf("Error! Did not write to %s: %v", key, err), err: err}
	case !ok:
		return refused("Did not write to %s: %s", key, why)
	}
	what := "Data written to"
	switch {
	case acquire:
		what = "Lock acquired on"
	case release:
		what = "Lock released on"
	}
	return done(c, fields{"Key": key}, "Success! %s: %s", what, key)
}

// valueOf reads the value that the last argument of kv put gives.
func valueOf(c *cli.Context, text string) ([]byte, error) {
	data, err := input(c, text)
	if err != nil || !c.Bool("base64") {
		return data, err
	}
	value, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	if err != nil {
		return nil, refused("The value is no base64: %v", err)
	}
	return value, nil
}

// input reads what an argument stands for: a file after an @, standard input for a -, or itself.
func input(c *cli.Context, text string) ([]byte, error) {
	name, fromFile := strings.CutPrefix(text, "@")
	switch {
	case fromFile:
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readBounded(name, f)
	case text == "-":
		return readBounded("standard input", c.App.Reader)
	}
	return []byte(text), nil
}

func readBounded(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxInput)
	}
	return data, nil
}

func kvDelete(c *cli.Context, client *api.Client) error {
	key, err := keyOf(c, 1, c.Bool("recurse"))
	if err != nil {
		return err
	}
	cas, recurse, index := c.Bool("cas"), c.Bool("recurse"), c.Uint64("modify-index")
	ok := true
	switch {
	case cas && recurse:
		return refused("Only one of -cas and -recurse may be given")
	case cas && index == 0:
		return refused("-cas needs the -modify-index that the key must have, which is not 0")
	case !cas && c.IsSet("modify-index"):
		return refused("-modify-index goes with -cas")
	case recurse:
		err = client.KV().DeleteTree(c.Context, key, nil)
	case cas:
		ok, err = client.KV().DeleteCAS(c.Context, key, index, nil)
	default:
		err = client.KV().Delete(c.Context, key, nil)
	}
	switch {
	case err != nil:
		return &complaint{line: fmt.Sprintf("Error! Did not delete %s: %v", key, err), err: err}
	case !ok:
		return refused("Did not delete key %s: CAS failed", key)
	case recurse:
		return done(c, fields{"Prefix": key}, "Success! Deleted keys with prefix: %s", key)
	}
	return done(c, fields{"Key": key}, "Success! Deleted key: %s", key)
}

// exported is a key as it is exported and imported. The value is in base64.
type exported struct {
	Key   string `json:"key"`
	Flags uint64 `json:"flags"`
	Value []byte `json:"value"`
}

func kvExport(c *cli.Context, client *api.Client) error {
	prefix, err := keyOf(c, 1, true)
	if err != nil {
		return err
	}
	list, _, err := client.KV().List(c.Context, prefix, query(c))
	if err != nil {
		return failed(err, "querying the agent for keys beneath %q", prefix)
	}
	all := make([]exported, len(list))
	for i, p := range list {
		all[i] = exported{p.Key, p.Flags, p.Value}
		if p.Value == nil {
			all[i].Value = []byte{} // "" rather than null
		}
	}
	return showJSON(c.App.Writer, all, "\t")
}

func kvImport(c *cli.Context, client *api.Client) error {
	if err := takes(c, 1, 1); err != nil {
		return err
	}
	data, err := input(c, c.Args().First())
	if err != nil {
		return err
	}
	var all []exported
	if err := readJSON(bytes.NewReader(data), &all); err != nil {
		return failed(err, "reading the keys to import")
	}
	for i, e := range all {
		if e.Key == "" {
			return failed(errors.New("it has no \"key\""), "reading entry %d", i)
		}
	}
	told := progress{c: c}
	for _, e := range all {
		key := beneath(c.String("prefix"), e.Key)
		if err := client.KV().Put(c.Context, &api.KVPair{Key: key, Flags: e.Flags, Value: e.Value}, nil); err != nil {
			return told.end(failed(err, "writing key %q (%d of %d are written)", key, len(told.all), len(all)))
		}
		told.done(fields{"Key": key}, "Imported: %s", key)
	}
	return told.end(nil)
}

// beneath joins a prefix and a key by one slash.
func beneath(prefix, key string) string {
	key = strings.TrimPrefix(key, "/")
	if prefix = strings.Trim(prefix, "/"); prefix == "" {
		return key
	}
	return prefix + "/" + key
}
