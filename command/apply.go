package command

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

// setKey is the key of an entry's Meta that tells which set of files made it, so that -prune removes those entries alone.
const setKey = "parley-apply-set"

func applyCommand() *cli.Command {
	return &cli.Command{
		Name: "apply", Usage: "make the config entries be as files have them", Category: aboutMesh,
		Flags: tenantFlags(
			&cli.StringSliceFlag{Name: "f", Usage: "file, or directory with files that end in .hcl or .json; - is standard input; may be repeated"},
			&cli.StringFlag{Name: "set", Usage: "name of the set that the files are; the name of the first -f if not given"},
			&cli.BoolFlag{Name: "prune", Usage: "remove the entries that the same set made earlier and that no file has any more"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would change, and what stands against it; change nothing"},
			formatFlag(),
		),
		Action: withClient(apply),
	}
}

// applied is what apply has to say.
type applied struct {
	Set      string
	DryRun   bool
	Changes  []planned
	Warnings []string
	Problems []problem
}

// problem is what stands against applying, and where.
type problem struct {
	Kind    string
	Name    string
	File    string `json:",omitempty"`
	Line    int    `json:",omitempty"`
	Message string
}

func apply(c *cli.Context, client *api.Client) error {
	if err := takes(c, 0, 0); err != nil {
		return err
	}
	paths := c.StringSlice("f")
	if len(paths) == 0 {
		return errors.New("must specify with -f a file, or a directory of files, to apply")
	}
	set, err := setName(c.String("set"), paths[0])
	if err != nil {
		return err
	}
	files, err := readEntries(c, paths)
	if err != nil {
		return err
	}
	slices.SortStableFunc(files, func(a, b written) int { return byNeed(a.key(), b.key()) })
	for _, w := range files {
		mark(w.entry, set)
	}
	there, err := standing(c, client)
	if err != nil {
		return err
	}
	a := &applier{c: c, client: client, files: files, there: there, out: applied{
		Set: set, DryRun: c.Bool("dry-run"), Changes: []planned{}, Warnings: []string{}, Problems: []problem{},
	}}
	if err := a.plan(c.Bool("prune")); err != nil {
		return err
	}
	if !asJSON(c) {
		showPlan(c.App.Writer, a.out.Changes)
	}
	if len(a.out.Problems) == 0 && len(a.out.Changes) > 0 && !a.out.DryRun {
		if err := a.apply(); err != nil {
			return err
		}
	}
	return a.report()
}

// setName is the name of a set: given, or that of what is applied.
func setName(given, path string) (string, error) {
	if given != "" {
		return given, nil
	}
	if path == "-" {
		return "standard-input", nil
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(filepath.Base(whole), ".hcl"), ".json"), nil
}

// mark says in an entry which set made it.
func mark(e api.ConfigEntry, set string) {
	c := e.Common()
	if c.Meta == nil {
		c.Meta = map[string]string{}
	}
	c.Meta[setKey] = set
}

// needed is the order in which kinds build upon one another. All changes are made at once, so it is that of reading.
var needed = []string{
	api.KindMesh, api.KindProxyDefaults, api.KindJWTProvider, api.KindInlineCertificate, api.KindFileSystemCertificate, api.KindServiceDefaults,
	api.KindServiceResolver, api.KindServiceSplitter, api.KindServiceRouter, api.KindServiceIntentions, api.KindSamenessGroup,
	api.KindExportedServices, api.KindTerminatingGateway, api.KindIngressGateway, api.KindAPIGateway, api.KindHTTPRoute, api.KindTCPRoute,
}

func byNeed(a, b api.EntryName) int {
	return cmp.Or(cmp.Compare(slices.Index(needed, a.Kind), slices.Index(needed, b.Kind)), cmp.Compare(a.Name, b.Name))
}

// standing reads all entries there are.
func standing(c *cli.Context, client *api.Client) (map[api.EntryName]api.ConfigEntry, error) {
	entries, _, err := client.ConfigEntries().List(c.Context, "", &api.QueryOptions{Mode: api.Consistent})
	if err != nil {
		return nil, failed(err, "listing config entries")
	}
	there := make(map[api.EntryName]api.ConfigEntry, len(entries))
	for _, e := range entries {
		there[api.EntryName{Kind: e.EntryKind(), Name: e.EntryName()}] = e
	}
	return there, nil
}

// applier brings what stands to what files have.
type applier struct {
	c      *cli.Context
	client *api.Client
	files  []written
	there  map[api.EntryName]api.ConfigEntry
	out    applied
}

// plan has the servers judge all entries, and finds out in which they differ from what stands.
func (a *applier) plan(prune bool) error {
	var changes []api.EntryChange
	for _, w := range a.files {
		changes = append(changes, api.EntryChange{Put: w.entry})
	}
	if prune {
		changes = append(changes, a.gone()...)
	}
	if len(changes) == 0 {
		return nil
	}
	judged, err := a.client.ConfigEntries().Apply(a.c.Context, changes, true, nil)
	if err != nil {
		return failed(err, "judging config entries")
	}
	a.refused(judged.Problems)
	a.out.Warnings = append(a.out.Warnings, judged.Warnings...)
	for i, change := range changes {
		p := planned{Action: actionDelete, change: change}
		if i >= len(a.files) {
			p.Kind, p.Name = change.Delete.Kind, change.Delete.Name
			a.out.Changes = append(a.out.Changes, p)
			continue
		}
		w := a.files[i]
		p.Kind, p.Name, p.File, p.Line = w.key().Kind, w.key().Name, w.tree.Pos.File, w.tree.Pos.Line
		after, err := judged.Entry(i)
		if err != nil {
			return failed(err, "reading what becomes of %s/%s", p.Kind, p.Name)
		}
		if after == nil {
			after = w.entry
		}
		var index uint64
		p.Action = actionCreate
		if old := a.there[w.key()]; old != nil {
			p.Action, index = actionUpdate, old.Common().ModifyIndex
			if p.Fields, err = entryDiff(old, after); err != nil {
				return err
			}
			if len(p.Fields) == 0 {
				continue
			}
		}
		p.change.CAS = &index
		a.out.Changes = append(a.out.Changes, p)
	}
	return nil
}

// gone returns the removal of what the set made earlier and no file has, what builds upon others first.
func (a *applier) gone() []api.EntryChange {
	var names []api.EntryName
	for name, e := range a.there {
		has := func(w written) bool { return w.key() == name }
		if e.Common().Meta[setKey] == a.out.Set && !slices.ContainsFunc(a.files, has) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y api.EntryName) int { return byNeed(y, x) })
	var changes []api.EntryChange
	for _, name := range names {
		index := a.there[name].Common().ModifyIndex
		changes = append(changes, api.EntryChange{Delete: &name, CAS: &index})
	}
	return changes
}

// apply makes the changes that are planned, all of them or none.
func (a *applier) apply() error {
	changes := make([]api.EntryChange, len(a.out.Changes))
	for i, p := range a.out.Changes {
		changes[i] = p.change
	}
	made, err := a.client.ConfigEntries().Apply(a.c.Context, changes, false, nil)
	if err != nil {
		return failed(err, "applying config entries")
	}
	a.refused(made.Problems)
	return nil
}

// refused notes what stands against the changes, with the place in the files.
func (a *applier) refused(problems []api.EntryProblem) {
	for _, p := range problems {
		pos := locate(a.files, api.EntryName{Kind: p.Kind, Name: p.Name}, p.Message)
		a.out.Problems = append(a.out.Problems, problem{Kind: p.Kind, Name: p.Name, File: pos.File, Line: pos.Line, Message: p.Message})
	}
}

// report says what was done, or why nothing was.
func (a *applier) report() error {
	if len(a.out.Problems) > 0 {
		if asJSON(a.c) {
			if err := showJSON(a.c.App.Writer, a.out, "    "); err != nil {
				return err
			}
		}
		var errs []error
		for _, p := range a.out.Problems {
			errs = append(errs, hcl.Errorf(hcl.Pos{File: p.File, Line: p.Line}, "%s/%s: %s", p.Kind, p.Name, p.Message))
		}
		return fmt.Errorf("%w\nnothing was changed", errors.Join(errs...))
	}
	if !asJSON(a.c) {
		warn(a.c, a.out.Warnings)
	}
	words := "Applied: " + counted(a.out.Changes) + "."
	switch {
	case len(a.out.Changes) == 0:
		words = fmt.Sprintf("Nothing to do: %d entries are as the files have them.", len(a.files))
	case a.out.DryRun:
		words = "Would apply: " + counted(a.out.Changes) + "."
	}
	return done(a.c, a.out, "%s", words)
}
