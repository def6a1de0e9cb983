package command

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/parleymesh/parley/server/archive"
	"github.com/parleymesh/parley/server/state"
)

// room is how much there is of something in a snapshot, as the public command line tells it.
type room struct {
	Name  string
	Sum   int // bytes
	Count int
}

// inspected is what is in a snapshot, by table and, when that is asked for, by prefix of key.
type inspected struct {
	Meta        inspectedMeta
	Stats       []room
	StatsKV     []room `json:",omitempty"`
	TotalSize   int
	TotalSizeKV int `json:",omitempty"`
}

type inspectedMeta struct {
	ID      string
	Size    int64
	Index   uint64
	Term    uint64
	Version int
	// What follows is ours.
	Created, Datacenter, Release string
}

func snapshotInspect(c *cli.Context) error {
	name, err := archiveName(c)
	if err != nil {
		return err
	}
	tables, prefixes := map[string]*room{}, map[string]*room{}
	m, err := readArchive(name, func(r state.Row) error {
		tally(tables, r.Table, len(r.Data))
		if r.Table != "kv" || !c.Bool("kvdetails") {
			return nil
		}
		if key := keyIn(r); strings.HasPrefix(key, c.String("kvfilter")) {
			tally(prefixes, prefixOf(key, c.Int("kvdepth")), len(r.Data))
		}
		return nil
	})
	if err != nil {
		return failed(err, "reading snapshot")
	}
	out := inspected{Meta: metaShown(m), Stats: largestFirst(tables), StatsKV: largestFirst(prefixes)}
	out.TotalSize, out.TotalSizeKV = total(out.Stats), total(out.StatsKV)
	return show(c, out, func(w io.Writer) { showInspected(w, out, c.Bool("kvdetails")) })
}

func metaShown(m archive.Meta) inspectedMeta {
	return inspectedMeta{m.ID, m.Size, m.Index, m.Term, m.Version, m.Created.Format("2006-01-02T15:04:05Z07:00"), m.Datacenter, m.Release}
}

func tally(rooms map[string]*room, name string, size int) {
	if rooms[name] == nil {
		rooms[name] = &room{Name: name}
	}
	rooms[name].Sum += size
	rooms[name].Count++
}

// keyIn is the key of a row of the table of keys: the last part of the row's key.
func keyIn(r state.Row) string {
	parts := strings.Split(strings.TrimSuffix(r.Key, "\x00"), "\x00")
	return parts[len(parts)-1]
}

// prefixOf returns so many parts of a key.
func prefixOf(key string, depth int) string {
	parts := strings.Split(key, "/")
	return strings.Join(parts[:min(len(parts), max(depth, 1))], "/")
}

func largestFirst(rooms map[string]*room) []room {
	out := make([]room, 0, len(rooms))
	for _, r := range rooms {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b room) int { return cmp.Or(cmp.Compare(b.Sum, a.Sum), cmp.Compare(a.Name, b.Name)) })
	return out
}

func total(rooms []room) (n int) {
	for _, r := range rooms {
		n += r.Sum
	}
	return n
}

func showInspected(w io.Writer, s inspected, keys bool) {
	m := s.Meta
	columns(w, 2, [][]string{
		{" ID", m.ID}, {" Size", strconv.FormatInt(m.Size, 10)}, {" Index", strconv.FormatUint(m.Index, 10)}, {" Term", strconv.FormatUint(m.Term, 10)},
		{" Version", strconv.Itoa(m.Version)}, {" Created", m.Created}, {" Datacenter", m.Datacenter}, {" Release", m.Release},
	})
	fmt.Fprintln(w)
	showRooms(w, "Type", s.Stats, s.TotalSize)
	if keys {
		fmt.Fprintln(w)
		showRooms(w, "Key Name", s.StatsKV, s.TotalSizeKV)
	}
}

func showRooms(w io.Writer, what string, rooms []room, total int) {
	rule := []string{" ----", "----", "----"}
	rows := [][]string{{" " + what, "Count", "Size"}, rule}
	for _, r := range rooms {
		rows = append(rows, []string{" " + r.Name, strconv.Itoa(r.Count), bytesShown(r.Sum)})
	}
	columns(w, 8, append(rows, rule, []string{" Total", "", bytesShown(total)}))
}

// bytesShown is a size as people read it.
func bytesShown(n int) string {
	size, unit := float64(n), "B"
	for _, larger := range []string{"KB", "MB", "GB", "TB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, larger
	}
	return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + unit
}

// snapshotDecode first makes sure that the file is whole: what it shows may be read by another program.
func snapshotDecode(c *cli.Context) error {
	name, err := archiveName(c)
	if err != nil {
		return err
	}
	m, err := verifyArchive(name)
	if err != nil {
		return failed(err, "reading snapshot")
	}
	out := bufio.NewWriter(c.App.Writer)
	enc := json.NewEncoder(out)
	show := func(kind string, data any) error {
		return enc.Encode(struct {
			Type string
			Data any
		}{kind, data})
	}
	err = show("SnapshotHeader", m)
	if err == nil {
		_, err = readArchive(name, func(r state.Row) error {
			v, err := r.Value()
			if err != nil {
				return err
			}
			return show(r.Table, v)
		})
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return failed(err, "decoding snapshot")
	}
	return nil
}
