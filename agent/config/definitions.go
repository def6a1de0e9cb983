package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/parleymesh/parley/agent/config/hcl"
	"github.com/parleymesh/parley/api"
)

// addDefinitions decodes the services and checks of a document.
func (r *reader) addDefinitions(doc *document) {
	serviceName := func(d *api.ServiceDefinition) string { return d.Name }
	checkName := func(d *api.CheckDefinition) string { return cmp.Or(d.Name, d.ID, d.CheckID) }

	for _, of := range []struct {
		key    string
		values []*hcl.Value
	}{{"service", doc.Service}, {"services", doc.Services}} {
		defs := definitions(r, of.key, of.values, serviceName)
		for i := range defs {
			for _, w := range defs[i].DNSWarnings() {
				r.warnings = append(r.warnings, Warning{of.values[i].Pos, w})
			}
		}
		r.cfg.Services = append(r.cfg.Services, defs...)
	}
	r.cfg.Checks = append(r.cfg.Checks, definitions(r, "check", doc.Check, checkName)...)
	r.cfg.Checks = append(r.cfg.Checks, definitions(r, "checks", doc.Checks, checkName)...)
}

// definitions decodes values one by one, so that each complaint knows its place.
func definitions[T any](r *reader, key string, values []*hcl.Value, name func(*T) string) []T {
	var defs []T
	for i, v := range values {
		path := key
		if len(values) > 1 {
			path = fmt.Sprintf("%s[%d]", key, i)
		}
		var def T
		dec := hcl.Decoder{Path: path, Unknown: r.goneFromDefinitions}
		if err := dec.Decode(v, &def); err != nil {
			r.errs = append(r.errs, flatten(err)...)
		} else if name(&def) == "" {
			r.errs = append(r.errs, hcl.Errorf(v.Pos, "%s needs a name", path))
		}
		defs = append(defs, def)
	}
	return defs
}

// goneFromDefinitions complains of a key that definitions had once, and says what took its place.
func (r *reader) goneFromDefinitions(key string, v *hcl.Value) bool {
	if last := key[strings.LastIndexByte(key, '.')+1:]; strings.EqualFold(last, "script") {
		r.errs = append(r.errs, hcl.Errorf(v.Pos, `%s is of a former release; give the program and each of its arguments in args, such as ["/bin/check", "-v"]`, key))
		return true
	}
	return false
}

// LoadDefinitions reads the services and checks that files, or the files of directories, define. Other
// configuration may stand in them as well; it must be right but is left alone.
func LoadDefinitions(paths ...string) ([]api.ServiceDefinition, []api.CheckDefinition, error) {
	r := newReader(Default())
	for _, path := range paths {
		files, err := filesAt(path, "")
		if err != nil {
			r.errs = append(r.errs, err)
		}
		for _, file := range files {
			r.readFile(file, "")
		}
	}
	if err := errors.Join(append(r.errs, r.refused...)...); err != nil {
		return nil, nil, err
	}
	return r.cfg.Services, r.cfg.Checks, nil
}

// ReadDefinitions is LoadDefinitions for text that is in no file, such as standard input; the name is for messages. Text that
// begins with a brace is JSON.
func ReadDefinitions(name string, text []byte) ([]api.ServiceDefinition, []api.CheckDefinition, error) {
	r := newReader(Default())
	r.addText(name, string(text), formatOfText(string(text)))
	if err := errors.Join(r.errs...); err != nil {
		return nil, nil, err
	}
	return r.cfg.Services, r.cfg.Checks, nil
}

// DecodeEntry decodes a config entry as the struct of its kind.
func DecodeEntry(v *hcl.Value) (api.ConfigEntry, error) {
	kind := ""
	for _, f := range v.Fields {
		if strings.EqualFold(f.Key, "kind") && f.Value.Kind == hcl.String {
			kind = f.Value.Text
		}
	}
	if kind == "" {
		return nil, hcl.Errorf(v.Pos, "a config entry needs a kind, a string")
	}
	entry, err := api.NewConfigEntry(kind)
	if err != nil {
		return nil, hcl.Errorf(v.Pos, "%v", err)
	}
	return entry, hcl.Decode(v, entry)
}
