package hcl

import (
	"strings"

	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
)

// check looks at the tokens alone, for what the library's parser lets through. That drops a key without a value at the end of
// the file and before a brace, ends a list at a brace, takes the next line's key for a label, and recurses without a bound.
func (r hclReader) check(src []byte) error {
	s := scanner.New(src)
	s.Error = func(token.Pos, string) {} // the parser reports these, with the same position
	g := grammar{hclReader: r}
	for {
		tok := s.Scan()
		if s.ErrorCount > 0 {
			return nil
		}
		if tok.Type == token.COMMENT {
			continue
		}
		if err := g.take(tok); err != nil || tok.Type == token.EOF {
			return err
		}
		g.before = tok
	}
}

// grammar is what is known of the tokens so far.
type grammar struct {
	hclReader
	open   []bracket
	keys   []token.Token // of the item that is being read, labels included
	before token.Token
}

// bracket is one that is open, and the key path that it belongs to.
type bracket struct {
	token.Token
	path string
}

func (g *grammar) take(tok token.Token) error {
	if g.before.Type == token.ASSIGN {
		if err := g.value(tok); err != nil {
			return err
		}
	} else if len(g.keys) > 0 && g.before.Pos == g.keys[len(g.keys)-1].Pos {
		if err := g.afterKey(tok); err != nil {
			return err
		}
	}
	switch tok.Type {
	case token.EOF:
		if n := len(g.open); n > 0 {
			return g.broken(g.open[n-1].Token, "%s is not closed", g.what(g.open[n-1]))
		}
	case token.LBRACE, token.LBRACK:
		if len(g.open) == maxDepth {
			return Errorf(g.pos(tok.Pos), "nested more than %d levels deep", maxDepth)
		}
		g.open = append(g.open, bracket{tok, g.path()})
		g.keys = nil
	case token.RBRACE, token.RBRACK:
		return g.close(tok)
	case token.COMMA:
		if g.inList() && (g.before.Type == token.COMMA || g.before.Type == token.LBRACK) {
			return g.broken(tok, "%s has no value before this comma", g.open[len(g.open)-1].path)
		}
	case token.HEREDOC:
		return g.heredoc(tok)
	case token.IDENT, token.STRING:
		if g.before.Type == token.ASSIGN || g.inList() {
			return nil
		}
		if n := len(g.keys); n == 0 || g.before.Pos != g.keys[n-1].Pos {
			g.keys = nil
		}
		g.keys = append(g.keys, tok)
	}
	return nil
}

func (g *grammar) broken(at token.Token, format string, args ...any) error {
	return Errorf(g.pos(at.Pos), "not valid HCL: "+format, args...)
}

// value sees to it that a value follows an equals sign.
func (g *grammar) value(tok token.Token) error {
	if len(g.keys) == 0 {
		return nil // an equals sign without a key: the parser tells of it
	}
	switch tok.Type {
	case token.IDENT:
		if tok.Pos.Line == g.before.Pos.Line {
			return g.broken(tok, "%s: text must stand in quotes", g.path())
		}
		fallthrough
	case token.EOF, token.RBRACE, token.RBRACK, token.COMMA, token.ASSIGN:
		return g.broken(g.keys[0], "%s has no value", g.path())
	}
	return nil
}

// afterKey sees to it that a key has an equals sign, a block or, on its own line, a label after it.
func (g *grammar) afterKey(tok token.Token) error {
	key := g.keys[len(g.keys)-1]
	switch tok.Type {
	case token.ASSIGN, token.LBRACE:
		return nil
	case token.IDENT, token.STRING:
		if tok.Pos.Line == key.Pos.Line {
			return nil
		}
	}
	sameLine := tok.Type != token.EOF && tok.Type != token.RBRACE && tok.Pos.Line == key.Pos.Line
	if labelled := len(g.keys) > 1; labelled || sameLine {
		g.keys = g.keys[:1] // what follows may be a value, and that a secret
		return g.broken(key, "%s has no equals sign before its value", g.path())
	}
	return g.broken(key, "%s has no value", g.path())
}

func (g *grammar) close(tok token.Token) error {
	n := len(g.open)
	if n == 0 {
		return g.broken(tok, "%s closes nothing", tok.Text)
	}
	last := g.open[n-1]
	if (last.Type == token.LBRACE) != (tok.Type == token.RBRACE) {
		return g.broken(last.Token, "%s is not closed before the %s in line %d", g.what(last), tok.Text, tok.Pos.Line)
	}
	g.open, g.keys = g.open[:n-1], nil
	return nil
}

// heredoc finds an end that the library overlooks: it wants that of <<-EOF indented, and reads on to another one.
func (g *grammar) heredoc(tok token.Token) error {
	lines := strings.Split(strings.TrimSuffix(tok.Text, "\n"), "\n")
	mark := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(lines[0], "<<"), "-"))
	for i, line := range lines[1 : len(lines)-1] {
		if strings.TrimSpace(line) == mark {
			at := g.pos(tok.Pos)
			at.Line += 1 + i
			return Errorf(at, "not valid HCL: %s: the %s that ends a text begun with <<- must be indented", g.path(), mark)
		}
	}
	return nil
}

func (g *grammar) inList() bool {
	n := len(g.open)
	return n > 0 && g.open[n-1].Type == token.LBRACK
}

// path is that of the item that is being read.
func (g *grammar) path() string {
	path := ""
	if n := len(g.open); n > 0 {
		path = g.open[n-1].path
	}
	for _, k := range g.keys {
		path = join(path, strings.Trim(k.Text, `"`))
	}
	return path
}

func (g *grammar) what(b bracket) string {
	if b.path == "" {
		return "the " + b.Text
	}
	return "the " + b.Text + " of " + b.path
}
