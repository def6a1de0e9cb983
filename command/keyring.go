package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

func keyringCommand() *cli.Command {
	return &cli.Command{
		Name: "keyring", Usage: "list and change the keys that encrypt gossip, while all agents run", Category: aboutCluster,
		Description: "A new key is brought in by -install, then -use; then -remove takes the former one away. parley keygen makes a key.",
		Flags: clientFlags(
			&cli.BoolFlag{Name: "list", Usage: "list the keys that members know"},
			&cli.BoolFlag{Name: "list-primary", Usage: "list the keys by which members encrypt"},
			&cli.StringFlag{Name: "install", Usage: "have all members learn this key"},
			&cli.StringFlag{Name: "use", Usage: "have all members encrypt by this key, which all of them know"},
			&cli.StringFlag{Name: "remove", Usage: "have all members forget this key, by which none encrypts"},
			&cli.IntFlag{Name: "relay-factor", Usage: "send each member's answer through so many others as well, up to 5"},
			&cli.BoolFlag{Name: "local-only", Usage: "list the keys of this datacenter only"},
			formatFlag(),
		),
		Action: withClient(keyring),
	}
}

func keyring(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	given := 0
	for _, name := range []string{"list", "list-primary", "install", "use", "remove"} {
		if c.IsSet(name) {
			given++
		}
	}
	lists := c.Bool("list") || c.Bool("list-primary")
	switch {
	case given != 1:
		return errors.New("one of -list, -list-primary, -install, -use and -remove says what to do; usage: " + usage(c.Command))
	case c.Bool("local-only") && !lists:
		return errors.New("-local-only goes with -list and -list-primary alone: a key that is changed is changed everywhere")
	}
	o, relay, w := client.Operator(), c.Int("relay-factor"), said(c)
	var found []api.KeyringResponse
	var err error
	switch {
	case lists:
		what, of := "installed", func(r api.KeyringResponse) map[string]int { return r.Keys }
		if c.Bool("list-primary") {
			what, of = "installed primary", func(r api.KeyringResponse) map[string]int { return r.PrimaryKeys }
		}
		fmt.Fprintf(w, "==> Gathering %s encryption keys...\n", what)
		if found, err = o.Keys(c.Context, relay, query(c)); err == nil {
			showKeys(w, found, of)
		}
	case c.IsSet("install"):
		fmt.Fprintln(w, "==> Installing new gossip encryption key...")
		err = o.InstallKey(c.Context, c.String("install"), relay, nil)
	case c.IsSet("use"):
		fmt.Fprintln(w, "==> Changing primary gossip encryption key...")
		err = o.UseKey(c.Context, c.String("use"), relay, nil)
	default:
		fmt.Fprintln(w, "==> Removing gossip encryption key...")
		err = o.RemoveKey(c.Context, c.String("remove"), relay, nil)
	}
	if err != nil {
		return &complaint{line: "error: " + err.Error(), err: err}
	}
	var v any = fields{"Success": true}
	if lists {
		v = found
	}
	return show(c, v, func(io.Writer) {}) // people are told above
}

func showKeys(w io.Writer, found []api.KeyringResponse, of func(api.KeyringResponse) map[string]int) {
	for _, r := range found {
		pool := r.Datacenter + " (LAN)"
		if r.WAN {
			pool = "WAN"
		}
		fmt.Fprintf(w, "\n%s:\n", pool)
		for _, node := range slices.Sorted(maps.Keys(r.Messages)) {
			fmt.Fprintf(w, "  ===> %s: %s\n", node, r.Messages[node])
		}
		keys := of(r)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			fmt.Fprintf(w, "  %s [%d/%d]\n", key, keys[key], r.NumNodes)
		}
	}
}
