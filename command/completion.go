package command

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "have the shell complete commands, flags and names", ArgsUsage: "bash|zsh|fish", Category: aboutThis,
		Description: "It prints a script for the shell: in bash, source <(parley completion bash). With -install it is put where shells read it when they\nstart; so it is by parley -autocomplete-install.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "install", Usage: "write it into the files of the shells that are in use, or of the one that is given"},
			&cli.BoolFlag{Name: "uninstall", Usage: "take it out of them"},
		},
		Action: completion,
	}
}

// The scripts. What they call decides everything; they only hand it the line and take what comes, in their shell's way. A word that
// ends in a slash is not done, so no blank is put behind it.
var completionScripts = map[string]string{
	"bash": `_%[1]s_complete() {
	local word
	COMPREPLY=()
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <("$1" ` + completeWord + ` bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
	return 0
}
complete -F _%[1]s_complete %[1]s
`,
	"zsh": `_%[1]s_complete() {
	local -a whole begun whole_hints begun_hints
	local line value
	for line in "${(@f)$("${(Q)words[1]}" ` + completeWord + ` zsh "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}"; do
		value=${line%%%%$'\t'*}
		[[ -z $value ]] && continue
		if [[ $value == */ ]]; then
			begun+=("$value") begun_hints+=("${line/$'\t'/  -- }")
		else
			whole+=("$value") whole_hints+=("${line/$'\t'/  -- }")
		fi
	done
	compadd -l -d whole_hints -a whole
	compadd -S '' -d begun_hints -a begun
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u }
compdef _%[1]s_complete %[1]s
`,
	"fish": `function __%[1]s_complete
	set -l words (commandline -cpo)
	$words[1] ` + completeWord + ` fish (commandline -cp) 2>/dev/null
end
complete -c %[1]s -f -a '(__%[1]s_complete)'
`,
}

func completion(c *cli.Context) error {
	install, uninstall := c.Bool("install"), c.Bool("uninstall")
	least := 1
	if install || uninstall {
		least = 0
	}
	if err := takes(c, least, 1); err != nil {
		return err
	}
	shell := c.Args().First()
	if _, ok := completionScripts[shell]; shell != "" && !ok {
		return fmt.Errorf("there is no completion for %q: want bash, zsh or fish", shell)
	}
	switch {
	case install && uninstall:
		return errors.New("only one of -install and -uninstall may be given")
	case install || uninstall:
		return changeStartup(c, shell, install)
	}
	_, err := io.WriteString(c.App.Writer, completionScript(shell, c.App.Name))
	return err
}

func completionScript(shell, program string) string {
	return fmt.Sprintf(completionScripts[shell], program)
}

// startup is a file that a shell reads when it starts.
type startup struct {
	shell, path string
	whole       bool // it is for one command's completion alone
}

// startups returns the files of the shell, or of all that are in use: the one that the user logs in with, and those that have a file.
func startups(program, shell string) ([]startup, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("find the files of the shell: %w", err)
	}
	zsh, fish := os.Getenv("ZDOTDIR"), os.Getenv("XDG_CONFIG_HOME")
	if zsh == "" {
		zsh = home
	}
	if fish == "" {
		fish = filepath.Join(home, ".config")
	}
	fish = filepath.Join(fish, "fish")
	all := []startup{
		{"bash", filepath.Join(home, ".bashrc"), false}, {"zsh", filepath.Join(zsh, ".zshrc"), false},
		{"fish", filepath.Join(fish, "completions", program+".fish"), true},
	}
	login := filepath.Base(os.Getenv("SHELL"))
	return slices.DeleteFunc(all, func(s startup) bool {
		sign := s.path
		if s.whole {
			sign = fish
		}
		_, err := os.Stat(sign)
		return shell != "" && s.shell != shell || shell == "" && s.shell != login && err != nil
	}), nil
}

// changeStartup puts the completion into the files of shells, or takes it out. What else is in them stays as it is.
func changeStartup(c *cli.Context, shell string, install bool) error {
	files, err := startups(c.App.Name, shell)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("no shell is in use that completion is known for; name bash, zsh or fish")
	}
	for _, f := range files {
		old, err := os.ReadFile(f.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		next := startupText(f, c.App.Name, string(old), install)
		switch {
		case next == string(old) && install:
			fmt.Fprintf(c.App.Writer, "%s has it already\n", f.path)
			continue
		case next == string(old):
			fmt.Fprintf(c.App.Writer, "%s does not have it\n", f.path)
			continue
		case next == "" && f.whole:
			err = os.Remove(f.path)
		default:
			err = replaceFile(f.path, next)
		}
		if err != nil {
			return err
		}
		if install {
			fmt.Fprintf(c.App.Writer, "Wrote the completion of %s to %s; it is there in the next shell\n", f.shell, f.path)
		} else {
			fmt.Fprintf(c.App.Writer, "Took it out of %s\n", f.path)
		}
	}
	return nil
}

// startupText returns what a file is to hold: what it holds now, without the completion, and that in the end if it is wanted.
func startupText(f startup, program, old string, install bool) string {
	begin := fmt.Sprintf("# %s completion: begin (%[1]s -autocomplete-uninstall takes it out)\n", program)
	end := fmt.Sprintf("# %s completion: end\n", program)
	script := completionScript(f.shell, program)
	if f.whole {
		if install {
			return script
		}
		return ""
	}
	if before, rest, ok := strings.Cut(old, begin); ok {
		_, after, _ := strings.Cut(rest, end)
		old = before + after
	}
	if !install {
		return old
	}
	if old != "" && !strings.HasSuffix(old, "\n") {
		old += "\n"
	}
	return old + begin + script + end
}

// replaceFile writes a file whole, through a link if it is one, as many keep these files, and with the mode that it has.
func replaceFile(path, text string) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	return writeWhole(path, text, mode)
}

// writeWhole has a file, whose directory need not be there yet, be the old one or the new one, and never half of it.
func writeWhole(path, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, []byte(text), mode); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return nil
}
