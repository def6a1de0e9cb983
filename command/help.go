package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config/hcl"
)

// group is the action of what only holds other commands: it shows them, or names the one that was probably meant.
func group(c *cli.Context) error {
	if !c.Args().Present() {
		help(c.App.ErrWriter, c.Command)
		return status(1)
	}
	word := c.Args().First()
	if words := append(path(c.Command), word); isLater(words) {
		return notYet(strings.Join(words, " "))
	}
	var known []string
	for _, sub := range c.Command.Subcommands {
		known = append(known, sub.Names()...)
	}
	err := fmt.Errorf("unknown command %q%s; \"%s -help\" lists the commands",
		strings.Join(append(path(c.Command), word), " "), meant(hcl.Nearest(word, known)), c.Command.HelpName)
	if len(path(c.Command)) > 0 {
		return err
	}
	report(c.App.ErrWriter, err)
	return status(unknownCommand)
}

// unknownCommand is the exit status for what is not even the name of a group of commands, as shells have it.
const unknownCommand = 127

// path is a command's name without the program's.
func path(c *cli.Command) []string {
	words := strings.Fields(c.HelpName)
	return words[min(1, len(words)):]
}

// usageError tells in one line what is wrong with a command's flags. That help is wanted also comes as such an error.
func usageError(c *cli.Context, err error, _ bool) error {
	if errors.Is(err, flag.ErrHelp) {
		help(c.App.Writer, c.Command)
		return nil
	}
	message := err.Error()
	if name, ok := strings.CutPrefix(message, "flag provided but not defined: -"); ok {
		place, bare := strings.Join(path(c.Command), " "), strings.TrimLeft(name, "-")
		if slices.Contains(laterFlags[place], bare) {
			return notYet(place + " -" + bare)
		}
		var known []string
		for _, f := range c.Command.Flags {
			known = append(known, f.Names()...)
		}
		near := hcl.Nearest(flagName("-"+name), known)
		if near != "" {
			near = "-" + near
		}
		message = "unknown flag -" + strings.TrimLeft(name, "-") + meant(near)
	}
	if place := strings.Join(path(c.Command), " "); place != "" {
		message = place + ": " + message
	}
	return fmt.Errorf("%s; \"%s -help\" lists the flags", message, c.Command.HelpName)
}

func meant(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", name)
}

// takes checks the number of a command's arguments.
func takes(c *cli.Context, least, most int) error {
	n := c.NArg()
	expected := fmt.Sprint(least)
	if most > least {
		expected = fmt.Sprintf("%d to %d", least, most)
	}
	switch {
	case n < least && least == most:
		return fmt.Errorf("too few arguments (expected %s, got %d); usage: %s", expected, n, usage(c.Command))
	case n < least:
		return fmt.Errorf("too few arguments (expected at least %d, got %d); usage: %s", least, n, usage(c.Command))
	case n > most:
		return fmt.Errorf("too many arguments (expected %s, got %d), %q is the first; usage: %s", expected, n, c.Args().Get(most), usage(c.Command))
	}
	return nil
}

// usage is how a command is written.
func usage(c *cli.Command) string {
	line := c.HelpName
	if len(c.Subcommands) > 0 && len(c.Flags) == 0 {
		return line + " <command>"
	}
	if len(c.Flags) > 0 {
		line += " [flags]"
	}
	return strings.TrimSpace(line + " " + c.ArgsUsage)
}

// help shows the page of a command.
func help(w io.Writer, c *cli.Command) {
	fmt.Fprintf(w, "Usage: %s\n\n%s.\n", usage(c), sentence(c.Usage))
	if c.Description != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.Description))
	}
	helpCommands(w, c.Subcommands)
	helpFlags(w, c.Flags)
	if len(c.Subcommands) > 0 {
		fmt.Fprintf(w, "\n\"%s <command> -help\" tells more.\n", c.HelpName)
	}
}

func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

func helpCommands(w io.Writer, commands []*cli.Command) {
	var headings []string
	under := map[string][][]string{}
	for _, c := range commands {
		heading := c.Category
		if heading == "" {
			heading = "Commands"
		}
		if !slices.Contains(headings, heading) {
			headings = append(headings, heading)
		}
		under[heading] = append(under[heading], []string{"  " + c.Name, c.Usage})
	}
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name))
	}
	for _, heading := range headings {
		fmt.Fprintf(w, "\n%s:\n", heading)
		for _, row := range under[heading] {
			fmt.Fprintf(w, "%-*s  %s\n", width+2, row[0], row[1])
		}
	}
}

func helpFlags(w io.Writer, flags []cli.Flag) {
	var own, reaching [][]string
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		name := "  -" + f.Names()[0]
		if !isSwitch(f) {
			name += "=..."
		}
		row := []string{name, doc.GetUsage()}
		if in, ok := f.(cli.CategorizableFlag); ok && in.GetCategory() == reachingAgent {
			reaching = append(reaching, row)
		} else {
			own = append(own, row)
		}
	}
	if len(own) > 0 {
		fmt.Fprintln(w, "\nFlags:")
		columns(w, 2, own)
	}
	if len(reaching) > 0 {
		fmt.Fprintf(w, "\n%s:\n", reachingAgent)
		columns(w, 2, reaching)
	}
}
