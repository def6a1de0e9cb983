package command

import (
	"fmt"
	"io"
	"reflect"

	"github.com/urfave/cli/v2"
)

// formatFlag is the -format of every command that tells something which a program may want to read. What such a command has to say
// it says by show, done or a progress, so that the flag is all it needs.
func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Usage: "pretty (or table), or json for programs", Value: "pretty", Action: knownFormat}
}

// knownFormat is called before the command does anything.
func knownFormat(_ *cli.Context, format string) error {
	switch format {
	case "pretty", "table", "json":
		return nil
	}
	return fmt.Errorf("-format=%s is unknown: want pretty, table or json", format)
}

// asJSON tells whether a program is to read the output. Then nothing but one JSON value may go to standard output.
func asJSON(c *cli.Context) bool { return c.String("format") == "json" }

// said is where to say what is only for people.
func said(c *cli.Context) io.Writer {
	if asJSON(c) {
		return io.Discard
	}
	return c.App.Writer
}

// show prints what a command has found out: with the names of the API's fields for programs, in words for people.
func show(c *cli.Context, v any, words func(w io.Writer)) error {
	if !asJSON(c) {
		words(c.App.Writer)
		return nil
	}
	return showJSON(c.App.Writer, orEmpty(v), "    ")
}

// orEmpty returns an empty list in place of none at all, which a program would have to treat apart.
func orEmpty(v any) any {
	r := reflect.ValueOf(v)
	switch {
	case r.Kind() == reflect.Slice && r.IsNil():
		return []any{}
	case r.Kind() == reflect.Map && r.IsNil():
		return map[string]any{}
	}
	return v
}

// done tells of one thing that was done: in words, or what it was done to.
func done(c *cli.Context, v any, words string, args ...any) error {
	return show(c, v, func(w io.Writer) { fmt.Fprintf(w, words+"\n", args...) })
}

// fields is a small value for programs.
type fields map[string]any

// progress tells of things that are done one after the other: in words at once, to programs as one list in the end, also of
// what was done before something failed.
type progress struct {
	c   *cli.Context
	all []any
}

func (p *progress) done(v any, words string, args ...any) {
	p.all = append(p.all, v)
	if !asJSON(p.c) {
		fmt.Fprintf(p.c.App.Writer, words+"\n", args...)
	}
}

// end returns why the things that are missing were not done.
func (p *progress) end(err error) error {
	if !asJSON(p.c) {
		return err
	}
	if failed := showJSON(p.c.App.Writer, orEmpty(p.all), "    "); err == nil {
		return failed
	}
	return err
}
