package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config"
	"github.com/parleymesh/parley/command/agent"
)

func validateCommand() *cli.Command {
	return &cli.Command{
		Name: "validate", Usage: "tell whether configuration files are right", ArgsUsage: "FILE|DIRECTORY...", Category: aboutThis,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config-format", Usage: "read every file as hcl or json, whatever its name"},
			&cli.BoolFlag{Name: "quiet", Usage: "say nothing when they are right"},
			formatFlag(),
		},
		Action: validate,
	}
}

func validate(c *cli.Context) error {
	if c.NArg() == 0 {
		return errors.New("must specify at least one config file or directory")
	}
	settings := config.Settings{}
	if format := c.String("config-format"); format != "" {
		settings = append(settings, config.Setting{Flag: "config-format", Value: format})
	}
	for _, path := range c.Args().Slice() {
		flag := "config-file"
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			flag = "config-dir"
		}
		settings = append(settings, config.Setting{Flag: flag, Value: path})
	}
	cfg, warnings, err := config.Load(config.Sources{Program: c.App.Name, Settings: settings})
	if err == nil {
		err = errors.Join(append(cfg.Refused, agent.RefusedDefinitions(cfg)...)...)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(c.App.ErrWriter, "Config validation failed: %s\n", strings.TrimSuffix(line, "\n"))
		}
		return status(1)
	}
	if cfg.ACL.Enabled {
		fmt.Fprintln(c.App.ErrWriter, "Config validation failed: acl.enabled: this release has no ACLs yet, and an agent does not start with them")
		return status(1)
	}
	for _, w := range warnings {
		fmt.Fprintf(c.App.ErrWriter, "Warning: %s\n", w)
	}
	if c.Bool("quiet") {
		return nil
	}
	return done(c, fields{"Valid": true, "Warnings": orEmpty(warnings)}, "Configuration is valid!")
}
