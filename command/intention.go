package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func intentionCommand() *cli.Command {
	return &cli.Command{Name: "intention", Usage: "say which services may call which", Category: aboutMesh, Subcommands: []*cli.Command{
		{
			Name: "create", Usage: "allow, or deny, calls from a source to a destination", ArgsUsage: "SOURCE DESTINATION",
			Description: "Either name may be '*' for all services.",
			Flags: tenantFlags(
				&cli.BoolFlag{Name: "allow", Usage: "allow the calls, as is done if nothing is given"},
				&cli.BoolFlag{Name: "deny", Usage: "deny the calls"},
				&cli.BoolFlag{Name: "file", Usage: "read intentions from the JSON files that the arguments name"},
				&cli.StringSliceFlag{Name: "meta", Usage: "key=value to keep with it; may be repeated"},
				&cli.BoolFlag{Name: "replace", Usage: "replace an intention that exists already"},
				formatFlag(),
			),
			Action: withClient(intentionCreate),
		},
		{
			Name: "check", Usage: "tell whether a source may call a destination, and why", ArgsUsage: "SOURCE DESTINATION",
			Description: "The exit status is 1 when it may not.", Flags: tenantFlags(formatFlag()),
			Action: withClient(intentionCheck),
		},
		{Name: "delete", Usage: "delete an intention", ArgsUsage: "SOURCE DESTINATION | ID", Flags: tenantFlags(formatFlag()), Action: withClient(intentionDelete)},
		{Name: "get", Usage: "show an intention", ArgsUsage: "SOURCE DESTINATION | ID", Flags: tenantFlags(formatFlag()), Action: withClient(intentionGet)},
		{Name: "list", Usage: "list all intentions, what is tried first first", Flags: tenantFlags(formatFlag()), Action: withClient(intentionList)},
		{
			Name: "match", Usage: "list the intentions that concern a service, what is tried first first", ArgsUsage: "SERVICE",
			Flags: tenantFlags(
				&cli.BoolFlag{Name: "destination", Usage: "as the destination, as is done if nothing is given"},
				&cli.BoolFlag{Name: "source", Usage: "as the source"},
				formatFlag(),
			),
			Action: withClient(intentionMatch),
		},
	}}
}

func intentionCreate(c *cli.Context, client *api.Client) error {
	all, err := intentionsToCreate(c)
	if err != nil {
		return err
	}
	told := progress{c: c}
	for _, x := range all {
		what := "Created"
		create := func() error { return createNew(c, client, &x) }
		if c.Bool("replace") {
			old, err := sameNames(c, client, &x)
			if err != nil {
				return told.end(failed(err, "looking for intention %q", rule(&x)))
			}
			if old != nil {
				what = "Replaced"
				create = func() error { return replace(c, client, old, &x) }
			}
		}
		if err := create(); err != nil {
			return told.end(failed(err, "creating intention %q", rule(&x)))
		}
		told.done(x, "%s: %s", what, rule(&x))
	}
	return told.end(nil)
}

// createNew makes an intention where there is none of the same names. One with permissions has no id: the API by id has none of
// them.
func createNew(c *cli.Context, client *api.Client, x *api.Intention) error {
	if len(x.Permissions) > 0 {
		old, err := sameNames(c, client, x)
		if err != nil {
			return err
		}
		if old != nil {
			return exists(old)
		}
		return client.Intentions().Put(c.Context, x, nil)
	}
	id, err := client.Intentions().Create(c.Context, x, nil)
	if err == nil {
		x.ID = id
		return nil
	}
	if old, lookErr := sameNames(c, client, x); lookErr == nil && old != nil {
		return exists(old)
	}
	return err
}

func exists(old *api.Intention) error {
	return fmt.Errorf("an intention %s exists already; -replace replaces it", rule(old))
}

// sameNames finds the intention that has the names of another one.
func sameNames(c *cli.Context, client *api.Client, x *api.Intention) (*api.Intention, error) {
	old, _, err := client.Intentions().Get(c.Context, intentionName(x.SourceNS, x.SourceName), intentionName(x.DestinationNS, x.DestinationName), nil)
	return old, err
}

// replace puts one intention in the place of another. One that was made by id keeps it.
func replace(c *cli.Context, client *api.Client, old, x *api.Intention) error {
	if old.ID == "" || len(x.Permissions) > 0 {
		return client.Intentions().Put(c.Context, x, nil)
	}
	x.ID = old.ID
	return client.Intentions().UpdateByID(c.Context, x, nil)
}

func intentionsToCreate(c *cli.Context) ([]api.Intention, error) {
	allow, deny := c.Bool("allow"), c.Bool("deny")
	meta, err := mapOf(c, "meta")
	switch {
	case err != nil:
		return nil, err
	case allow && deny:
		return nil, errors.New("only one of -allow and -deny may be given")
	case c.Bool("file") && (allow || deny || len(meta) > 0):
		return nil, errors.New("with -file the files say it all: leave out -allow, -deny and -meta")
	case c.Bool("file"):
		return intentionFiles(c)
	case c.NArg() != 2:
		return nil, fmt.Errorf("must specify two arguments: source and destination; usage: %s", usage(c.Command))
	}
	x := api.Intention{Action: api.Allow, SourceType: api.SourceConsul, Meta: meta}
	if deny {
		x.Action = api.Deny
	}
	x.SourceNS, x.SourceName = splitName(c.Args().Get(0))
	x.DestinationNS, x.DestinationName = splitName(c.Args().Get(1))
	return []api.Intention{x}, nil
}

// intentionFiles reads files that hold an intention, or a list of them, in the shape of the API.
func intentionFiles(c *cli.Context) ([]api.Intention, error) {
	if c.NArg() == 0 {
		return nil, errors.New("with -file, name the files to read")
	}
	var all []api.Intention
	for _, name := range c.Args().Slice() {
		from := "@" + name
		if name == "-" {
			from = name
		}
		data, err := input(c, from)
		if err != nil {
			return nil, err
		}
		list := make([]api.Intention, 1)
		if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
			err = readJSON(bytes.NewReader(data), &list)
		} else {
			err = readJSON(bytes.NewReader(data), &list[0])
		}
		if err != nil {
			return nil, failed(err, "reading intentions from %s", name)
		}
		all = append(all, list...)
	}
	return all, nil
}

// splitName takes apart what may be written as namespace/name.
func splitName(text string) (namespace, name string) {
	if namespace, name, ok := strings.Cut(text, "/"); ok {
		return namespace, name
	}
	return "", text
}

// intentionName is the way back. The default namespace is not shown.
func intentionName(namespace, name string) string {
	if namespace == "" || namespace == api.DefaultTenant {
		return name
	}
	return namespace + "/" + name
}

// rule is an intention on one line.
func rule(x *api.Intention) string {
	source := intentionName(x.SourceNS, x.SourceName)
	if x.SourcePeer != "" {
		source = "peer:" + x.SourcePeer + "/" + source
	}
	return fmt.Sprintf("%s => %s (%s)", source, intentionName(x.DestinationNS, x.DestinationName), action(x))
}

func action(x *api.Intention) string {
	switch n := len(x.Permissions); n {
	case 0:
		return x.Action
	case 1:
		return "1 permission"
	default:
		return fmt.Sprintf("%d permissions", n)
	}
}

func intentionCheck(c *cli.Context, client *api.Client) error {
	if err := takes(c, 2, 2); err != nil {
		return err
	}
	source, destination := c.Args().Get(0), c.Args().Get(1)
	d, _, err := client.Intentions().Check(c.Context, source, destination, query(c))
	if err != nil {
		return failed(err, "checking whether %q may call %q", source, destination)
	}
	err = show(c, d, func(w io.Writer) {
		if d.Why != "" {
			fmt.Fprintf(c.App.ErrWriter, "%s => %s: %s\n", source, destination, d.Why)
		}
		if d.Allowed {
			fmt.Fprintln(w, "Allowed")
		} else {
			fmt.Fprintln(w, "Denied")
		}
	})
	if err == nil && !d.Allowed {
		return status(1)
	}
	return err
}

// intentionOf finds the intention that the arguments name: by id, or by source and destination.
func intentionOf(c *cli.Context, client *api.Client) (*api.Intention, error) {
	if err := takes(c, 1, 2); err != nil {
		return nil, err
	}
	if c.NArg() == 1 {
		id := c.Args().First()
		x, _, err := client.Intentions().GetByID(c.Context, id, query(c))
		if err != nil {
			return nil, failed(err, "reading the intention")
		}
		if x == nil {
			return nil, fmt.Errorf("intention not found with ID %q; \"%s intention list\" lists all", id, c.App.Name)
		}
		return x, nil
	}
	source, destination := c.Args().Get(0), c.Args().Get(1)
	x, _, err := client.Intentions().Get(c.Context, source, destination, query(c))
	if err != nil {
		return nil, failed(err, "reading the intention")
	}
	if x == nil {
		return nil, fmt.Errorf("intention not found with source %q and destination %q; \"%s intention list\" lists all", source, destination, c.App.Name)
	}
	return x, nil
}

func intentionGet(c *cli.Context, client *api.Client) error {
	x, err := intentionOf(c, client)
	if err != nil {
		return err
	}
	return show(c, x, func(w io.Writer) { showIntention(w, x) })
}

func showIntention(w io.Writer, x *api.Intention) {
	rows := [][]string{
		{"Source:", intentionName(x.SourceNS, x.SourceName)},
		{"Destination:", intentionName(x.DestinationNS, x.DestinationName)},
		{"Action:", action(x)},
	}
	if x.ID != "" {
		rows = append(rows, []string{"ID:", x.ID})
	}
	if x.SourcePeer != "" {
		rows = append(rows, []string{"Source Peer:", x.SourcePeer})
	}
	if x.Description != "" {
		rows = append(rows, []string{"Description:", x.Description})
	}
	for _, key := range slices.Sorted(maps.Keys(x.Meta)) {
		rows = append(rows, []string{"Meta[" + key + "]:", x.Meta[key]})
	}
	if !x.CreatedAt.IsZero() {
		rows = append(rows, []string{"Created At:", x.CreatedAt.Format(time.RFC850)})
	}
	columns(w, 2, rows)
	for _, p := range x.Permissions {
		_ = showJSON(w, p, "    ") // output remembers what fails
	}
}

// intentionDelete is no error where there is nothing to delete, so that it may be repeated; it says so, since a mistyped name
// looks the same.
func intentionDelete(c *cli.Context, client *api.Client) error {
	if err := takes(c, 1, 2); err != nil {
		return err
	}
	var err error
	if c.NArg() == 1 {
		if _, err := intentionOf(c, client); err != nil {
			return err
		}
		err = client.Intentions().DeleteByID(c.Context, c.Args().First(), nil)
	} else {
		source, destination := c.Args().Get(0), c.Args().Get(1)
		x, _, lookErr := client.Intentions().Get(c.Context, source, destination, nil)
		if lookErr == nil && x == nil {
			return show(c, fields{"Deleted": false}, func(io.Writer) {
				fmt.Fprintf(c.App.ErrWriter, "There is no intention from %q to %q, so none was deleted.\n", source, destination)
			})
		}
		err = client.Intentions().Delete(c.Context, source, destination, nil)
	}
	if err != nil {
		return failed(err, "deleting the intention")
	}
	return done(c, fields{"Deleted": true}, "Intention deleted.")
}

func intentionList(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	all, _, err := client.Intentions().List(c.Context, query(c))
	if err != nil {
		return failed(err, "listing intentions")
	}
	return show(c, all, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(c.App.ErrWriter, "There are no intentions.")
			return
		}
		showIntentions(w, all)
	})
}

func showIntentions(w io.Writer, all []api.Intention) {
	var rows [][]string
	for _, x := range all {
		rows = append(rows, []string{
			x.ID, intentionName(x.SourceNS, x.SourceName), action(&x), intentionName(x.DestinationNS, x.DestinationName),
			strconv.Itoa(x.Precedence),
		})
	}
	table(w, []string{"ID", "Source", "Action", "Destination", "Precedence"}, rows)
}

func intentionMatch(c *cli.Context, client *api.Client) error {
	if err := takes(c, 1, 1); err != nil {
		return err
	}
	by := api.MatchDestination
	switch {
	case c.Bool("source") && c.Bool("destination"):
		return errors.New("only one of -source and -destination may be given")
	case c.Bool("source"):
		by = api.MatchSource
	}
	name := c.Args().First()
	found, _, err := client.Intentions().Match(c.Context, by, []string{name}, query(c))
	if err != nil {
		return failed(err, "matching intentions of %q", name)
	}
	var all []api.Intention
	for _, list := range found { // there is one, by a name that the server may have qualified
		all = append(all, list...)
	}
	return show(c, all, func(w io.Writer) {
		for _, x := range all {
			fmt.Fprintln(w, rule(&x))
		}
	})
}
