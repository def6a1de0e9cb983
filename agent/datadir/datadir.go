// Package datadir is the directory in which one agent keeps what must survive it. Open takes the directory for
// this process alone; files are replaced whole or not at all, and carry the version of their format. What changes often and in small
// parts is in a Journal, whose file is appended to.
//
// What is in the files belongs to whoever writes them. The Raft log has a format of its own and only lives under Path.
package datadir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	lockName = "parley.lock"
	tmpExt   = ".tmp"
)

// Dir is a data directory that this process holds.
type Dir struct {
	path string
	lock *os.File

	mu      sync.Mutex      // one write at a time, since a file's temporary name is fixed
	damaged map[string]bool // files that could not be made sense of: nobody may write over them
}

// Open creates the directory if there is none, and locks it. It never waits for another holder.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s: %w; choose one that this user may write to", path, reason(err))
	}
	if _, err := os.ReadDir(path); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be read: %w; choose one that belongs to this user", path, reason(err))
	}
	lock, err := acquire(filepath.Join(path, lockName))
	if err != nil {
		return nil, fmt.Errorf("data directory %s %w", path, err)
	}
	return &Dir{path: path, lock: lock, damaged: make(map[string]bool)}, nil
}

// Close lets another process open the directory.
func (d *Dir) Close() error { return d.lock.Close() }

// Path returns the absolute path of something in the directory, or of itself.
func (d *Dir) Path(elem ...string) string {
	return filepath.Join(append([]string{d.path}, elem...)...)
}

// ReadFile returns a file's contents; the error is fs.ErrNotExist where there is none.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	if err := local(name); err != nil {
		return nil, err
	}
	return os.ReadFile(d.Path(name))
}

// WriteFile replaces a file. After it returns, the new contents survive a crash; until then, the old ones do.
func (d *Dir) WriteFile(name string, data []byte) error {
	if err := local(name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	path := d.Path(name)
	if d.damaged[name] {
		return fmt.Errorf("write %s: %w", path, errDamaged)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp := path + tmpExt
	if err := writeSync(tmp, data); err != nil {
		return errors.Join(err, removeQuietly(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, removeQuietly(tmp))
	}
	return syncDir(dir)
}

// Remove deletes a file; one that is not there is no error.
func (d *Dir) Remove(name string) error {
	if err := local(name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Remove(d.Path(name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return syncDir(filepath.Dir(d.Path(name)))
}

// List returns the names of the files in a subdirectory, sorted, each ready for ReadFile. A subdirectory that
// is not there has none.
func (d *Dir) List(subdir string) ([]string, error) {
	if err := local(subdir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(d.Path(subdir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasSuffix(e.Name(), tmpExt) {
			names = append(names, filepath.Join(subdir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// versioned is the shape of every file whose contents are ours.
type versioned struct {
	Version int             `json:"version"`
	Data    json.RawMessage `json:"data"`
}

// errDamaged is what to do about a file that cannot be read.
var errDamaged = errors.New("the file is damaged and is left as it is; move it away to start afresh without it")

// WriteVersioned replaces a file with the JSON of v and the version of its format.
func (d *Dir) WriteVersioned(name string, version int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", d.Path(name), err)
	}
	data, err = json.Marshal(versioned{Version: version, Data: data})
	if err != nil {
		return fmt.Errorf("write %s: %w", d.Path(name), err)
	}
	return d.WriteFile(name, append(data, '\n'))
}

// ReadVersioned reads into v, a pointer, what WriteVersioned wrote with the same version. The error is
// fs.ErrNotExist where there is no file. After any other error the file is not written over for as long as the directory is open.
func (d *Dir) ReadVersioned(name string, version int, v any) error {
	data, err := d.ReadFile(name)
	if err != nil {
		return err
	}
	if err := decodeVersioned(data, version, v); err != nil {
		d.damage(name)
		return fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	return nil
}

// damage sees to it that a file is not written over.
func (d *Dir) damage(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.damaged[name] = true
}

func decodeVersioned(data []byte, version int, v any) error {
	var file versioned
	if err := decodeStrict(data, &file); err != nil || file.Version == 0 || file.Data == nil {
		return errDamaged
	}
	if file.Version != version {
		return wrongVersion(file.Version, version)
	}
	if err := decodeStrict(file.Data, v); err != nil {
		return fmt.Errorf("%w (%w)", errDamaged, err)
	}
	return nil
}

func wrongVersion(is, known int) error {
	return fmt.Errorf("the file has format version %d and this release reads version %d; run the release that wrote it, or move the file away to start afresh without it", is, known)
}

func decodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more than one value")
	}
	return nil
}

func local(name string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q is not a name in the data directory", name)
	}
	return nil
}

func writeSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeQuietly(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// reason drops the operation and path that a caller's own message has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
