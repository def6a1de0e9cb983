package command

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

// Version is the release of Parley.
const Version = "0.1.0"

// commit is what the binary was built from, and committed when that was committed, as RFC 3339 has it. The linker sets them.
var commit, committed = "", ""

// unknownDate is the custom for builds that do not tell when they were made.
var unknownDate = time.Unix(1, 0).UTC()

// buildDate is when the sources were committed, as far as the binary knows.
func buildDate() time.Time {
	text := committed
	if info, ok := debug.ReadBuildInfo(); ok && text == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				text = s.Value
			}
		}
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t
	}
	return unknownDate
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "tell the version", Category: aboutThis,
		Flags:  []cli.Flag{formatFlag()},
		Action: version,
	}
}

// versionJSON is the version for programs. Version is the one of the public API, by which tools decide what is there.
type versionJSON struct {
	Version    string
	Revision   string
	Prerelease string
	BuildDate  string
	RPC        struct{ Default, Min, Max int }
	Parley     string
}

func version(c *cli.Context) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	date := buildDate()
	if asJSON(c) {
		v := versionJSON{Version: api.CompatibleWith, Revision: commit, BuildDate: date.Format(time.RFC3339), Parley: Version}
		v.RPC.Default, v.RPC.Min, v.RPC.Max = 2, 2, 3
		return showJSON(c.App.Writer, v, "   ")
	}
	if c.App.Name == "consul" {
		fmt.Fprintf(c.App.Writer, "Consul v%s\nServed by Parley v%s\n", api.CompatibleWith, Version)
	} else {
		fmt.Fprintf(c.App.Writer, "Parley v%s\nCompatible with Consul v%s\n", Version, api.CompatibleWith)
	}
	if commit != "" {
		fmt.Fprintf(c.App.Writer, "Revision %s\n", commit)
	}
	if date != unknownDate {
		fmt.Fprintf(c.App.Writer, "Build Date %s\n", date.Format(time.RFC3339))
	}
	return nil
}
