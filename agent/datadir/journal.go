package datadir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
)

// Change is one key's new value in a journal; nil: it has none any more.
type Change struct {
	Key   string
	Value []byte
}

const (
	// A journal is rewritten when it is grown times as long as what it says, and at least minRewrite bytes: then a rewriting is paid
	// for by what was appended since the one before.
	grown      = 4
	minRewrite = 256 << 10
)

// Journal keeps values by key in one file, to which changes are appended: one write and one fdatasync, however many values there are
// and however many changes come at once. It is for one goroutine at a time.
type Journal struct {
	dir     *Dir
	name    string
	version int
	log     *slog.Logger

	values map[string][]byte
	live   int64    // how long the file would be with nothing but the values, about
	size   int64    // of the file
	file   *os.File // nil: what is at the end of the file is not known, and it is rewritten before anything is appended
	closed bool
}

// OpenJournal reads a journal whose values have the given version; the logger may be told of an append that a crash has cut short.
// A journal that does not exist comes into being with the first append. A damaged one is left as it is.
func (d *Dir) OpenJournal(name string, version int, log *slog.Logger) (*Journal, error) {
	j := &Journal{dir: d, name: name, version: version, log: log, values: map[string][]byte{}}
	data, err := d.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	values, whole, err := decodeJournal(data, version)
	if err != nil {
		d.damage(name)
		return nil, fmt.Errorf("read %s: %w", d.Path(name), err)
	}
	j.values = values
	for key, value := range values {
		j.live += length(key, value)
	}
	if err := j.openFile(int64(whole)); err != nil {
		return nil, err
	}
	if cut := len(data) - whole; cut > 0 {
		if err := j.cut(); err != nil {
			return nil, errors.Join(err, j.file.Close())
		}
		log.Warn("the end of a journal was being written when this agent or the machine stopped, and is cut off", "file", d.Path(name), "offset", whole, "bytes", cut)
	}
	return j, nil
}

// openFile opens the file to append at an offset.
func (j *Journal) openFile(size int64) error {
	f, err := os.OpenFile(j.dir.Path(j.name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	j.file, j.size = f, size
	return nil
}

// cut makes what is whole of the file all of it.
func (j *Journal) cut() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	return j.file.Sync()
}

// All returns all values by key. The map is the journal's own, and is only to be read, as are the values.
func (j *Journal) All() map[string][]byte { return j.values }

// Append brings changes to disk, all of them or none. After an error none are in All; on disk they may be there until the next append
// that is well.
func (j *Journal) Append(changes []Change) error {
	if j.closed {
		return fmt.Errorf("write %s: %w", j.dir.Path(j.name), fs.ErrClosed)
	}
	if len(changes) == 0 {
		return nil
	}
	if j.file == nil {
		return j.rewriteWith(changes)
	}
	frame, err := appendFrame(nil, j.size, j.version, changes)
	if err != nil {
		return fmt.Errorf("write %s: %w", j.dir.Path(j.name), err)
	}
	_, err = j.file.WriteAt(frame, j.size)
	if err == nil {
		err = syncData(j.file)
	}
	if err != nil {
		// After a failed sync it is not known what the disk has, and asking again would not tell.
		j.drop()
		return err
	}
	j.size += int64(len(frame))
	j.take(changes)
	if j.size > minRewrite && j.size > grown*j.live {
		if err := j.rewrite(j.values); err != nil {
			j.log.Error("journal not rewritten, it is tried again at the next change", "file", j.dir.Path(j.name), "err", err)
		}
	}
	return nil
}

func (j *Journal) take(changes []Change) {
	for _, c := range changes {
		if old, ok := j.values[c.Key]; ok {
			j.live -= length(c.Key, old)
			delete(j.values, c.Key)
		}
		if c.Value != nil {
			j.live += length(c.Key, c.Value)
			j.values[c.Key] = c.Value
		}
	}
}

// length is about how much of the file a value takes.
func length(key string, value []byte) int64 { return int64(4 + len(key) + len(value)) }

func (j *Journal) rewriteWith(changes []Change) error {
	values := maps.Clone(j.values)
	for _, c := range changes {
		if c.Value == nil {
			delete(values, c.Key)
		} else {
			values[c.Key] = c.Value
		}
	}
	if err := j.rewrite(values); err != nil {
		return err
	}
	j.take(changes)
	return nil
}

// rewrite replaces the file by one that says these values and nothing else.
func (j *Journal) rewrite(values map[string][]byte) error {
	j.drop()
	var all []Change
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all = append(all, Change{key, values[key]})
	}
	data := []byte(journalHead)
	if len(all) > 0 {
		var err error
		if data, err = appendFrame(data, int64(len(data)), j.version, all); err != nil {
			return err
		}
	}
	if err := j.dir.WriteFile(j.name, data); err != nil {
		return err
	}
	return j.openFile(int64(len(data)))
}

func (j *Journal) drop() {
	if j.file != nil {
		_ = j.file.Close() // what counts was synced
		j.file = nil
	}
}

// Close ends the work with the journal, whose values are all on disk.
func (j *Journal) Close() error {
	j.closed = true
	j.drop()
	return nil
}

// Same tells whether a key has a value, or none when that is nil.
func (j *Journal) Same(key string, value []byte) bool {
	had, ok := j.values[key]
	return ok == (value != nil) && bytes.Equal(had, value)
}
