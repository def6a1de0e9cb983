package datadir

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// A journal begins with a line that says what it is. Frames follow, each with what was appended at once:
//
//	4 bytes  length of the contents
//	4 bytes  version of the contents
//	4 bytes  crc32c of the contents
//	4 bytes  crc32c of the frame's offset in the file, as 8 bytes, and of the 12 bytes before
//	the contents: changes one after the other, each a key and 1 + the length of a value and the value, or 0 for none;
//	lengths are unsigned varints, and all else is big-endian
//
// The offset is in the checksum so that nothing which looks like a frame is taken for one where it stands: not a copy in a value,
// and not what a disk block held before.
const (
	journalKind = "parley journal "
	journalHead = journalKind + "1\n"
	frameHead   = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame appends to a file that is offset bytes long so far.
func appendFrame(to []byte, offset int64, version int, changes []Change) ([]byte, error) {
	at := len(to)
	to = append(to, make([]byte, frameHead)...)
	for _, c := range changes {
		to = binary.AppendUvarint(to, uint64(len(c.Key)))
		to = append(to, c.Key...)
		if c.Value == nil {
			to = append(to, 0)
			continue
		}
		to = binary.AppendUvarint(to, 1+uint64(len(c.Value)))
		to = append(to, c.Value...)
	}
	head, contents := to[at:at+frameHead], to[at+frameHead:]
	if len(contents) > math.MaxInt32 {
		return nil, fmt.Errorf("%d bytes are too many for one frame of a journal", len(contents))
	}
	binary.BigEndian.PutUint32(head, uint32(len(contents)))
	binary.BigEndian.PutUint32(head[4:], uint32(version))
	binary.BigEndian.PutUint32(head[8:], crc32.Checksum(contents, castagnoli))
	binary.BigEndian.PutUint32(head[12:], headSum(head, offset))
	return to, nil
}

func headSum(head []byte, offset int64) uint32 {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(offset))
	return crc32.Update(crc32.Checksum(at[:], castagnoli), castagnoli, head[:12])
}

// frameAt returns the contents of the frame at an offset of a file and where the next one begins; ok tells whether there is one and
// it is whole.
func frameAt(file []byte, offset int) (contents []byte, version, next int, ok bool) {
	if len(file)-offset < frameHead {
		return nil, 0, 0, false
	}
	head, rest := file[offset:offset+frameHead], file[offset+frameHead:]
	n := int64(binary.BigEndian.Uint32(head))
	if binary.BigEndian.Uint32(head[12:]) != headSum(head, int64(offset)) || n > int64(len(rest)) {
		return nil, 0, 0, false
	}
	contents = rest[:n]
	if crc32.Checksum(contents, castagnoli) != binary.BigEndian.Uint32(head[8:]) {
		return nil, 0, 0, false
	}
	return contents, int(binary.BigEndian.Uint32(head[4:])), offset + frameHead + int(n), true
}

// decodeJournal returns what a journal says, and up to where it is whole. What follows there was being appended when the process
// or the machine died, which nobody was told had happened. Anything else that is wrong is an error, which says where.
func decodeJournal(file []byte, version int) (values map[string][]byte, whole int, err error) {
	if err := checkHead(file); err != nil {
		return nil, 0, err
	}
	values = map[string][]byte{}
	for whole = len(journalHead); whole < len(file); {
		contents, v, next, ok := frameAt(file, whole)
		if !ok {
			if later := nextFrame(file, whole); later >= 0 {
				return nil, 0, fmt.Errorf("%w (at offset %d, before a whole record at %d)", errDamaged, whole, later)
			}
			return values, whole, nil
		}
		if v != version {
			return nil, 0, fmt.Errorf("%w (at offset %d)", wrongVersion(v, version), whole)
		}
		if !replay(values, contents) {
			return nil, 0, fmt.Errorf("%w (at offset %d, contents that nothing writes)", errDamaged, whole)
		}
		whole = next
	}
	return values, whole, nil
}

func checkHead(file []byte) error {
	if bytes.HasPrefix(file, []byte(journalHead)) {
		return nil
	}
	line, _, _ := bytes.Cut(file[:min(len(file), 64)], []byte("\n"))
	var v int
	if n, err := fmt.Sscanf(string(line), journalKind+"%d", &v); n == 1 && err == nil && v > 1 {
		return fmt.Errorf("%w (at offset 0)", wrongVersion(v, 1))
	}
	return fmt.Errorf("%w (at offset 0, it does not begin as a journal does)", errDamaged)
}

// nextFrame looks for a whole frame behind one that is not; -1: there is none.
func nextFrame(file []byte, after int) int {
	for at := after + 1; at+frameHead <= len(file); at++ {
		if _, _, _, ok := frameAt(file, at); ok {
			return at
		}
	}
	return -1
}

// replay carries out the changes of a frame; false: they make no sense.
func replay(values map[string][]byte, contents []byte) bool {
	for len(contents) > 0 {
		key, rest, err := cutBytes(contents, 0)
		if err != nil {
			return false
		}
		if len(rest) > 0 && rest[0] == 0 {
			delete(values, string(key))
			contents = rest[1:]
			continue
		}
		value, rest, err := cutBytes(rest, 1)
		if err != nil {
			return false
		}
		values[string(key)] = bytes.Clone(value)
		contents = rest
	}
	return true
}

var errShort = errors.New("shorter than it says")

// cutBytes takes from the front what stands behind its length, which is given plus more.
func cutBytes(from []byte, more uint64) (taken, rest []byte, err error) {
	n, size := binary.Uvarint(from)
	if size <= 0 || n < more || n-more > uint64(len(from)-size) {
		return nil, nil, errShort
	}
	end := size + int(n-more)
	return from[size:end], from[end:], nil
}
