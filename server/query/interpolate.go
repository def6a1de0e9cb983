package query

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// interpolate replaces ${...} in a text by what it means; "$${" stands for "${" itself. Within the braces may stand a
// variable (name.full), a call (match(1)), a whole number or a quoted text.
//
// This is the part of HashiCorp's interpolation language that templates of queries are documented to use. Errors tell
// line and column as that language does.
func interpolate(text string, e *environment) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	p := &parser{text: text, env: e}
	var out strings.Builder
	for p.at < len(text) {
		rest := text[p.at:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			out.WriteString("${")
			p.at += 3
		case strings.HasPrefix(rest, "${"):
			p.at += 2
			v, err := p.expression(0)
			if err == nil {
				err = p.expect('}')
			}
			if err != nil {
				return "", err
			}
			out.WriteString(v)
		default:
			out.WriteByte(text[p.at])
			p.at++
		}
	}
	return out.String(), nil
}

// environment is what a text may speak of.
type environment struct {
	variables map[string]string
	match     func(group int) string
}

// maxDepth bounds calls within calls.
const maxDepth = 8

type parser struct {
	text string
	at   int
	env  *environment
}

func (p *parser) fail(at int, format string, args ...any) error {
	before := p.text[:min(at, len(p.text))]
	line := strings.Count(before, "\n")
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return fmt.Errorf("%d:%d: %s", line+1, column+1, fmt.Sprintf(format, args...))
}

func (p *parser) blanks() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// expect skips blanks and the byte that must come next.
func (p *parser) expect(c byte) error {
	p.blanks()
	if p.at >= len(p.text) {
		return p.fail(p.at, "expected %q but found the end of the text", c)
	}
	if p.text[p.at] != c {
		return p.fail(p.at, "expected %q but found %q", c, p.text[p.at])
	}
	p.at++
	return nil
}

// expression reads one and returns its value. Numbers are texts, too.
func (p *parser) expression(depth int) (string, error) {
	p.blanks()
	start := p.at
	if start >= len(p.text) {
		return "", p.fail(start, "expected an expression but found the end of the text")
	}
	switch c := p.text[start]; {
	case depth > maxDepth:
		return "", p.fail(start, "calls are nested more than %d deep", maxDepth)
	case c == '"':
		return p.quoted()
	case isDigit(c):
		return p.take(isDigit), nil
	case !isLetter(c):
		return "", p.fail(start, "expected expression but found %q", c)
	}
	name := p.take(func(c byte) bool { return isLetter(c) || isDigit(c) || c == '.' || c == '-' })
	p.blanks()
	if p.at < len(p.text) && p.text[p.at] == '(' {
		return p.call(name, start, depth)
	}
	v, ok := p.env.variables[name]
	if !ok {
		return "", p.fail(start, "unknown variable accessed: %s", name)
	}
	return v, nil
}

func (p *parser) take(belongs func(byte) bool) string {
	start := p.at
	for p.at < len(p.text) && belongs(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

// call reads the arguments of a function and calls it.
func (p *parser) call(name string, start, depth int) (string, error) {
	if name != "match" {
		return "", p.fail(start, "unknown function called: %s", name)
	}
	p.at++
	arg, err := p.expression(depth + 1)
	if err != nil {
		return "", err
	}
	if err := p.expect(')'); err != nil {
		return "", err
	}
	group, err := strconv.Atoi(arg)
	if err != nil {
		return "", p.fail(start, "match takes the number of a group, not %q", arg)
	}
	return p.env.match(group), nil
}

// quoted reads a text in quotation marks, in which a backslash stands before what is meant as it is.
func (p *parser) quoted() (string, error) {
	start := p.at
	var out strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return out.String(), nil
		case c == '\\' && p.at+1 < len(p.text):
			p.at++
			out.WriteByte(p.text[p.at])
		default:
			out.WriteByte(c)
		}
	}
	return "", p.fail(start, "the text that begins here has no end")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }
