package command

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/api"
)

// completeWord is what the scripts of completion.go begin with: parley __complete SHELL LINE WORD.
const completeWord = "__complete"

// completeTime bounds how long the agent is asked for names: somebody waits at a prompt.
const completeTime = 700 * time.Millisecond

// completed bounds how much is offered. More than that nobody reads.
const completed = 1000

// typed is a line that a shell wants completed, up to the cursor.
type typed struct {
	shell string // bash, zsh or fish
	line  string
	word  string // what bash takes for the last word, which is less than we do where it has a = or :
}

// completing tells whether this process is asked to complete a line: by one of our scripts, or as `complete -C` of bash asks, which
// the completion of the public command line is installed with.
func completing(words []string) (typed, bool) {
	if len(words) > 2 && words[0] == completeWord {
		t := typed{shell: words[1], line: words[2]}
		if len(words) > 3 {
			t.word = words[3]
		}
		return t, true
	}
	line, point := os.Getenv("COMP_LINE"), os.Getenv("COMP_POINT")
	if line == "" || point == "" || len(words) != 3 {
		return typed{}, false
	}
	n, err := strconv.Atoi(point)
	if err != nil || n < 0 || n > len(line) || !strings.HasPrefix(line, words[0]+" ") {
		return typed{}, false
	}
	return typed{shell: "bash", line: line[:n], word: words[1]}, true
}

// candidate is a way in which a line may go on.
type candidate struct{ text, hint string }

// complete prints the candidates, one a line, for fish and zsh with a tab and a hint behind.
func (t typed) complete(ctx context.Context, app *cli.App, w io.Writer) {
	words, last := shellWords(t.line)
	if len(words) > 0 {
		words = words[1:] // the program's name
	}
	p := where(app, words)
	all := p.candidates(ctx, last)
	seen := map[string]bool{}
	out := bufio.NewWriter(w)
	defer out.Flush()
	for _, c := range all {
		if !strings.HasPrefix(c.text, last) || seen[c.text] || strings.ContainsFunc(c.text, unicode.IsControl) || len(seen) == completed {
			continue
		}
		seen[c.text] = true
		switch {
		case t.shell == "bash":
			text := c.text
			if cut, ok := strings.CutSuffix(last, t.word); ok { // what stands before is not replaced
				text = strings.TrimPrefix(text, cut)
			}
			fmt.Fprintln(out, escaped(text))
		case c.hint == "":
			fmt.Fprintln(out, c.text)
		default:
			fmt.Fprintf(out, "%s\t%s\n", c.text, c.hint)
		}
	}
}

// escaped writes a word such that bash reads it as one.
func escaped(word string) string {
	var b strings.Builder
	for _, r := range word {
		if strings.ContainsRune(" \t\"'\\$`&|;<>()*?[]{}!#~", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// shellWords splits what stands before the cursor as a shell would. last is the word at the cursor, empty when that is behind a blank.
func shellWords(line string) (words []string, last string) {
	var word strings.Builder
	var quote rune
	begun, escape := false, false
	for _, r := range line {
		switch {
		case escape:
			word.WriteRune(r)
			escape = false
		case r == '\\' && quote != '\'':
			escape, begun = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case unicode.IsSpace(r):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	return words, word.String()
}

// position is where in the tree of commands a line stands.
type position struct {
	program string
	path    string
	below   []*cli.Command // the commands that may follow
	leaf    *cli.Command   // the one that the line has named
	flags   []cli.Flag     // that may follow
	pending string         // the flag whose value comes next
	given   map[string]string
	args    []string
}

// where follows a line. below, leaf and flags are nil where it makes no sense.
func where(app *cli.App, words []string) *position {
	p := &position{program: app.Name, below: app.Commands, flags: clientFlags(), given: map[string]string{}}
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case p.leaf != nil && p.flags == nil || p.leaf != nil && !isFlag(word) && word != "--":
			p.args = append(p.args, word)
			if firstArgumentEnds[p.path] {
				p.flags = nil
			}
		case p.leaf != nil && word == "--":
			p.flags = nil
		case isFlag(word):
			name, value, hasValue := strings.Cut(flagName(word), "=")
			switch n := length(p.flags, word); {
			case n == 0 && p.leaf == nil:
				return &position{}
			case n == 2 && i+1 == len(words):
				p.pending = name
				return p
			case n == 2:
				p.given[name] = words[i+1]
				i++
			case hasValue:
				p.given[name] = value
			}
		default:
			c := named(p.below, word)
			if c == nil {
				return &position{}
			}
			p.path = strings.TrimSpace(p.path + " " + c.Name)
			p.below = c.Subcommands
			switch {
			case len(c.Subcommands) == 0:
				p.leaf, p.flags = c, c.Flags
			case len(c.Flags) > 0: // it does something by itself, too
				p.flags = c.Flags
			}
		}
	}
	return p
}

// candidates returns what may stand where the line ends. They may be more than begin with the last word.
func (p *position) candidates(ctx context.Context, last string) []candidate {
	name, value, hasValue := strings.Cut(flagName(last), "=")
	switch {
	case p.pending != "":
		return p.values(ctx, p.pending, last, "")
	case isFlag(last) && hasValue && length(p.flags, last) > 0:
		return p.values(ctx, name, value, strings.TrimSuffix(last, value))
	case strings.HasPrefix(last, "-") && p.flags != nil:
		return flagNames(p.flags, last)
	case p.leaf != nil:
		return p.arguments(ctx, last)
	}
	var all []candidate
	for _, c := range p.below {
		all = append(all, candidate{c.Name, c.Usage})
	}
	return all
}

func flagNames(flags []cli.Flag, last string) (all []candidate) {
	dashes := "-"
	if strings.HasPrefix(last, "--") {
		dashes = "--"
	}
	for _, f := range flags {
		hint := ""
		if doc, ok := f.(cli.DocGenerationFlag); ok {
			hint = doc.GetUsage()
		}
		all = append(all, candidate{dashes + f.Names()[0], hint})
	}
	return all
}

// values returns what a flag may be set to.
func (p *position) values(ctx context.Context, flag, begun, before string) []candidate {
	return p.from(ctx, sourceOfFlag(p.path, flag), begun, before)
}

// arguments returns what the next argument may be, by what the command calls it.
func (p *position) arguments(ctx context.Context, begun string) (all []candidate) {
	for _, s := range sourcesOfArgument(p.leaf.ArgsUsage, len(p.args)) {
		all = append(all, p.from(ctx, s, begun, "")...)
	}
	return all
}

// from asks a source, and the agent if that needs it.
func (p *position) from(ctx context.Context, s source, begun, before string) (all []candidate) {
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	a := asked{ctx: ctx, begun: begun, position: p, q: &api.QueryOptions{Mode: api.Stale}}
	switch {
	case s.fixed != nil:
		all = texts(s.fixed)
	case s.files:
		all = fileNames(begun)
	case s.live != nil:
		config, err := configOf(p.program, func(name string) string { return p.given[name] })
		if err != nil {
			return nil
		}
		client, err := api.New(config)
		if err != nil {
			return nil
		}
		defer client.Close()
		a.client = client
		all = texts(s.live(a))
	}
	for i := range all {
		all[i].text = before + all[i].text
	}
	return slices.Clip(all)
}

func texts(names []string) []candidate {
	all := make([]candidate, len(names))
	for i, name := range names {
		all[i].text = name
	}
	return all
}
