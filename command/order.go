package command

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// firstArgumentEnds are the commands whose line ends in a free value or in another program's command: from their first
// argument on, nothing is a flag of ours.
var firstArgumentEnds = map[string]bool{"kv put": true, "lock": true, "exec": true, "watch": true}

// arrange puts the flags of a command before its arguments, which is where the library wants them, and a "--" between, so that no
// argument is taken for a flag. Flags for reaching the agent may even stand before the command. What it does not
// know it leaves in its place for the library to complain of.
func arrange(commands []*cli.Command, words []string) []string {
	if len(words) > 0 {
		switch words[0] {
		case "help":
			words = append(append([]string{}, words[1:]...), "-help")
		case "-autocomplete-install", "--autocomplete-install": // as the public command line has it
			words = append([]string{"completion", "-install"}, words[1:]...)
		case "-autocomplete-uninstall", "--autocomplete-uninstall":
			words = append([]string{"completion", "-uninstall"}, words[1:]...)
		}
	}
	path, early, rest, leaf := resolve(commands, words)
	if leaf == nil {
		return append(path, rest...)
	}
	flags, arguments, whole := split(leaf, rest, firstArgumentEnds[strings.Join(path, " ")])
	line := append(append(path, early...), flags...)
	if !whole {
		return line
	}
	return append(append(line, "--"), arguments...)
}

// resolve finds the command that a line names. leaf is nil when it names none that does something. One with flags does something
// by itself, too, where none of its subcommands follows.
func resolve(commands []*cli.Command, words []string) (path, early, rest []string, leaf *cli.Command) {
	global := clientFlags()
	var self *cli.Command
	after, before := 0, 0 // self's name: so many words, and flags that stand before it
	for i := 0; i < len(words); i++ {
		word := words[i]
		if isFlag(word) {
			switch n := length(global, word); {
			case len(path) == 0 && isVersion(word):
				word = "version"
			case (n == 0 || i+n > len(words)) && self != nil:
				return path, early[:before], words[after:], self
			case n == 0 || i+n > len(words):
				return path, nil, words[i:], nil
			default:
				early = append(early, words[i:i+n]...)
				i += n - 1
				continue
			}
		}
		c := named(commands, word)
		if c == nil && self != nil {
			return path, early[:before], words[after:], self
		}
		if c == nil {
			return path, nil, words[i:], nil
		}
		path = append(path, word)
		if len(c.Subcommands) == 0 {
			return path, early, words[i+1:], c
		}
		commands, self = c.Subcommands, nil
		if len(c.Flags) > 0 {
			self, after, before = c, i+1, len(early)
		}
	}
	if self != nil {
		return path, early[:before], words[after:], self
	}
	return path, nil, nil, nil
}

// split tells a command's flags, with their values, from its arguments. It is not whole when the last flag lacks its value.
func split(c *cli.Command, words []string, argumentEnds bool) (flags, arguments []string, whole bool) {
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--":
			return flags, append(arguments, words[i+1:]...), true
		case !isFlag(word):
			if argumentEnds {
				return flags, append(arguments, words[i:]...), true
			}
			arguments = append(arguments, word)
		default:
			n := max(1, length(c.Flags, word))
			if i+n > len(words) {
				return append(flags, word), nil, false
			}
			flags = append(flags, words[i:i+n]...)
			i += n - 1
		}
	}
	return flags, arguments, true
}

// isFlag tells whether a word is written as a flag. A "-" alone stands for standard input.
func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' && word != "--" }

func isVersion(word string) bool { return word == "-v" || word == "-version" || word == "--version" }

// length is the number of words that a flag takes: two when its value is the next word, 0 when it is unknown.
func length(flags []cli.Flag, word string) int {
	name, _, hasValue := strings.Cut(flagName(word), "=")
	for _, f := range flags {
		for _, n := range f.Names() {
			if n != name {
				continue
			}
			if hasValue || isSwitch(f) {
				return 1
			}
			return 2
		}
	}
	return 0
}

// flagName is a flag's word without its one or two dashes.
func flagName(word string) string {
	return strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
}

// isSwitch tells whether a flag may stand without a value.
func isSwitch(f cli.Flag) bool {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return true
	case *cli.GenericFlag:
		b, ok := f.Value.(interface{ IsBoolFlag() bool })
		return ok && b.IsBoolFlag()
	}
	return false
}

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}
