// Package logfile is a log in a file that is replaced when it has become too large or too old. What is written there, and that it
// is written elsewhere as well, is left to others.
package logfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options says where a log goes and when its file is replaced.
type Options struct {
	Path     string
	MaxBytes int64         // 0: of any size
	MaxAge   time.Duration // 0: of any age
	// MaxFiles is how many former files are kept; 0: all, -1: none.
	MaxFiles int
}

// retry is how long after a failed replacement the file goes on as it is.
const retry = time.Minute

// File is an open log. It may be written to by many at a time.
type File struct {
	o Options

	mu    sync.Mutex // guards what follows
	file  *os.File
	size  int64
	began time.Time
	again time.Time // before which no replacement is tried
}

// Open opens the file, which need not be there, to write at its end. The caller closes it.
func Open(o Options) (*File, error) {
	f := &File{o: o}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o755); err != nil {
		return nil, fmt.Errorf("log_file: %w", err)
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("log_file: %w", err)
	}
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.o.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size, f.began = file, info.Size(), time.Now()
	if f.size > 0 {
		f.began = info.ModTime() // the nearest to its beginning that is known
	}
	return nil
}

// Write implements io.Writer: it adds a line, and before that replaces the file when it is time to. A file that cannot be
// replaced goes on.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return 0, fs.ErrClosed
	}
	if now := time.Now(); f.full(int64(len(p)), now) && !now.Before(f.again) {
		if err := f.replace(now); err != nil {
			f.again = now.Add(retry)
		}
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	return n, err
}

func (f *File) full(more int64, now time.Time) bool {
	return f.size > 0 && (f.o.MaxBytes > 0 && f.size+more > f.o.MaxBytes || f.o.MaxAge > 0 && now.Sub(f.began) >= f.o.MaxAge)
}

// replace puts the file aside under a name with the time, and begins another one. It is called with mu held.
func (f *File) replace(now time.Time) error {
	stem, ext := f.stem()
	stamp := now.UnixNano()
	if err := os.Rename(f.o.Path, stem+strconv.FormatInt(stamp, 10)+ext); err != nil {
		return err
	}
	old := f.file
	if err := f.open(); err != nil {
		return err // what comes goes to the old one, wherever it is now
	}
	return errors.Join(old.Close(), f.prune())
}

// stem is what the names of former files begin and end with.
func (f *File) stem() (stem, ext string) {
	ext = filepath.Ext(f.o.Path)
	return strings.TrimSuffix(f.o.Path, ext) + "-", ext
}

// prune removes the oldest of the former files, beyond as many as are kept.
func (f *File) prune() error {
	if f.o.MaxFiles == 0 {
		return nil
	}
	entries, err := os.ReadDir(filepath.Dir(f.o.Path))
	if err != nil {
		return err
	}
	type former struct {
		path  string
		stamp int64
	}
	var all []former
	stem, ext := f.stem()
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(f.o.Path), e.Name())
		rest, ours := strings.CutPrefix(path, stem)
		text, too := strings.CutSuffix(rest, ext)
		if stamp, err := strconv.ParseInt(text, 10, 64); ours && too && err == nil {
			all = append(all, former{path, stamp})
		}
	}
	slices.SortFunc(all, func(a, b former) int { return cmp.Compare(a.stamp, b.stamp) })
	var errs []error
	for _, old := range all[:max(len(all)-max(f.o.MaxFiles, 0), 0)] {
		errs = append(errs, os.Remove(old.path))
	}
	return errors.Join(errs...)
}

// Reopen opens the file by its name again, for when somebody else has put it aside.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.file
	if old == nil {
		return fs.ErrClosed
	}
	if err := f.open(); err != nil {
		return fmt.Errorf("log_file: %w; what is logged goes to the former file", err)
	}
	return old.Close()
}

// Close closes the file. What is written later is lost.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
