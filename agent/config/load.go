package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/parleymesh/parley/agent/config/hcl"
)

// Sources is where a configuration comes from. What comes later in files, environment, flags and -hcl overrides what
// came before; lists grow.
type Sources struct {
	Program  string // the name that the binary was started under
	Settings Settings
	Host     Host
}

// Warning is something that should be known about a configuration that works.
type Warning struct {
	Pos  hcl.Pos
	Text string
}

func (w Warning) String() string {
	if w.Pos.File == "" {
		return w.Text
	}
	return w.Pos.String() + ": " + w.Text
}

// localConfig are the environment variables that may hold a whole configuration, in JSON or HCL, for containers.
// The first that is set counts.
var localConfig = []string{"PARLEY_LOCAL_CONFIG", "CONSUL_LOCAL_CONFIG"}

// Load reads everything, works out what follows from it, and checks it. The error joins every complaint but those about files that
// only register services and checks: these are in Config.Refused, and the rest is right without them.
func Load(s Sources) (*Config, []Warning, error) {
	r := newReader(Default())
	if s.Settings.on(flagDev) {
		r = newReader(Dev())
	}
	r.readFiles(s.Settings)
	r.readEnvironment(s.Host)
	r.readFlags(s.Settings)
	if len(r.errs) > 0 { // the rest would complain of what is only missing
		return nil, r.warnings, errors.Join(append(r.errs, r.refused...)...)
	}
	r.cfg.Refused = inOrder(r.refused)
	r.finish(s)
	r.validate()
	if len(r.errs) > 0 {
		return nil, r.warnings, errors.Join(inOrder(append(r.errs, r.refused...))...)
	}
	return r.cfg, r.warnings, nil
}

// on tells whether the last mention of a switch turned it on.
func (s Settings) on(name string) bool {
	on := false
	for _, setting := range s {
		if setting.Flag == name {
			on = setting.Value != "false"
		}
	}
	return on
}

func (s Settings) last(name string) string {
	value := ""
	for _, setting := range s {
		if setting.Flag == name {
			value = setting.Value
		}
	}
	return value
}

// document is one file: a Config, and what may stand beside it.
type document struct {
	*Config
	Service  []*hcl.Value
	Services []*hcl.Value
	Check    []*hcl.Value
	Checks   []*hcl.Value
}

// reader gathers documents into one Config.
type reader struct {
	cfg      *Config
	set      map[string]hcl.Pos // of every key that was set, where it was set last
	warnings []Warning
	errs     []error
	refused  []error // what is wrong with files that only register something
}

func newReader(cfg *Config) *reader {
	return &reader{cfg: cfg, set: make(map[string]hcl.Pos)}
}

// fail adds a complaint about a key, with its place if it was set.
func (r *reader) fail(key, format string, args ...any) {
	r.errs = append(r.errs, hcl.Errorf(r.set[key], "%s: %s", key, fmt.Sprintf(format, args...)))
}

func (r *reader) warn(key, format string, args ...any) {
	r.warnings = append(r.warnings, Warning{r.set[key], key + ": " + fmt.Sprintf(format, args...)})
}

func (r *reader) isSet(key string) bool {
	_, ok := r.set[key]
	return ok
}

func (r *reader) readFiles(settings Settings) {
	format := hcl.Format(settings.last(flagConfigFormat))
	if format != "" && format != hcl.HCL && format != hcl.JSON {
		r.errs = append(r.errs, fmt.Errorf("-config-format %s: use hcl or json", format))
		return
	}
	for _, s := range settings {
		if s.Flag != flagConfigFile && s.Flag != flagConfigDir {
			continue
		}
		files, err := filesAt(s.Value, format)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("-%s: %w", s.Flag, err))
		}
		for _, file := range files {
			r.readFile(file, format)
		}
	}
}

// filesAt returns a file itself, or what a directory has of configuration files, sorted by name. Without a
// format these are the ones whose name tells it.
func filesAt(path string, format hcl.Format) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		if _, err := hcl.FormatOf(file); format == "" && err != nil {
			continue
		}
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() { // a link may lead to a file
			continue
		}
		files = append(files, file)
	}
	return files, nil
}

func (r *reader) readFile(file string, format hcl.Format) {
	tree, err := hcl.ReadFile(file, format)
	switch {
	case err == nil && registers(tree):
		r.register(file, tree)
	case err == nil:
		r.cfg.Files = append(r.cfg.Files, file)
		r.add(tree)
	case meantToRegister(file):
		r.refused = append(r.refused, err)
	default:
		r.errs = append(r.errs, err)
	}
}

// register adds a registration: all of it, or nothing.
func (r *reader) register(file string, tree *hcl.Value) {
	alone := newReader(&Config{})
	alone.add(tree)
	if len(alone.errs) > 0 {
		r.refused = append(r.refused, alone.errs...)
		return
	}
	c := r.cfg
	c.Files = append(c.Files, file)
	c.Services, c.Checks = append(c.Services, alone.cfg.Services...), append(c.Checks, alone.cfg.Checks...)
	r.warnings = append(r.warnings, alone.warnings...)
}

func (r *reader) readEnvironment(h Host) {
	for _, name := range localConfig {
		text, ok := h.lookupEnv(name)
		if !ok || strings.TrimSpace(text) == "" {
			continue
		}
		r.addText("$"+name, text, formatOfText(text))
		return
	}
}

// formatOfText tells the notation of text that has no file's name: no HCL file begins with a brace.
func formatOfText(text string) hcl.Format {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return hcl.JSON
	}
	return hcl.HCL
}

func (r *reader) readFlags(settings Settings) {
	flags := Flags()
	for _, s := range settings {
		if s.Flag == flagHCL {
			r.addText("-hcl", s.Value, hcl.HCL)
			continue
		}
		i := slices.IndexFunc(flags, func(f Flag) bool { return f.Name == s.Flag })
		if i < 0 {
			r.errs = append(r.errs, fmt.Errorf("unknown flag -%s", s.Flag))
			continue
		}
		if flags[i].Key == "" {
			continue
		}
		value, err := flags[i].value(s.Value)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("-%s: %w", s.Flag, err))
			continue
		}
		r.add(hcl.Nest(flags[i].Key, value))
	}
}

func (r *reader) addText(name, text string, format hcl.Format) {
	tree, err := hcl.Parse(name, []byte(text), format)
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	r.add(tree)
}

// add lays a document over what is there.
func (r *reader) add(tree *hcl.Value) {
	doc := document{Config: r.cfg}
	here := make(map[string]bool)
	moved := make(map[string]*hcl.Value) // by the key that it moved to
	dec := hcl.Decoder{
		Set: func(key string, pos hcl.Pos) {
			here[key] = true
			r.set[key] = pos
			r.tellInert(key, pos)
		},
		Unknown: func(key string, v *hcl.Value) bool {
			key = strings.ToLower(key)
			if to, ok := deprecated[key]; ok {
				r.warnings = append(r.warnings, Warning{v.Pos, key + " is deprecated; use " + to})
				moved[to] = v
				return true
			}
			return r.tellInert(key, v.Pos)
		},
	}
	r.errs = append(r.errs, flatten(dec.Decode(tree, &doc))...)
	for _, to := range slices.Sorted(maps.Keys(moved)) {
		if !here[to] {
			r.errs = append(r.errs, flatten(dec.Decode(hcl.Nest(to, moved[to]), &doc))...)
		}
	}
	r.addDefinitions(&doc)
}

// tellInert tells whether a key is known to have no effect, and warns of it unless that is as it should be.
func (r *reader) tellInert(key string, pos hcl.Pos) bool {
	why, ok := inert[key]
	if ok && why != silent {
		r.warnings = append(r.warnings, Warning{pos, "key " + key + " " + why})
	}
	return ok
}

// flatten undoes errors.Join, so that complaints from all files can be joined once.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		if err == nil {
			return nil
		}
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, flatten(e)...)
	}
	return all
}
