package dns

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// maxPointer is beyond what a compression pointer reaches.
const maxPointer = 1 << 14

// writer makes replies. It belongs to one goroutine; what it returns is valid until the next reply.
type writer struct {
	rand  *rand.Rand
	buf   []byte
	order []int32
	at    []uint16 // of each name of the answer: where it stands in the reply; 0: nowhere yet
	said  []bool   // of each additional record
	q     *question
	p     *packed
	full  bool // names are written in full
}

func newWriter(source rand.Source) *writer {
	return &writer{rand: rand.New(source), buf: make([]byte, 0, maxUDPSize)}
}

// write makes the reply to q of as much of p as fits.
func (w *writer) write(q *question, p *packed, c *Config) []byte {
	w.start(q, p, c)
	limit := q.limit()
	if q.edns.present {
		limit -= 11 + len(q.edns.options)
	}
	authorities := 0
	for i := range p.authority {
		authorities += w.cost(&p.authority[i])
	}
	answers, want := w.choose(limit-authorities, c)
	flags := uint16(flagQR) | q.flags | uint16(p.rcode&15)
	if p.authoritative {
		flags |= flagAA
	}
	if len(c.Recursors) > 0 {
		flags |= flagRA
	}
	if !q.tcp && answers < want && (c.EnableTruncate || answers == 0 || p.chain) {
		flags |= flagTC
	}
	for i := range p.authority {
		w.record(&p.authority[i])
	}
	additional := w.additional(w.order[:answers], limit)
	if q.edns.present {
		w.opt()
		additional++
	}
	h := w.buf[:headerSize]
	questions := 1
	if len(q.name) == 0 {
		questions = 0
	}
	binary.BigEndian.PutUint16(h, q.id)
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint16(h[4:], uint16(questions))
	binary.BigEndian.PutUint16(h[6:], uint16(answers))
	binary.BigEndian.PutUint16(h[8:], uint16(len(p.authority)))
	binary.BigEndian.PutUint16(h[10:], uint16(additional))
	return w.buf
}

// start writes the header's place and the question.
func (w *writer) start(q *question, p *packed, c *Config) {
	w.q, w.p, w.full = q, p, c.DisableCompression
	w.at, w.said = cleared(w.at, len(p.names)), cleared(w.said, len(p.records))
	w.buf = append(w.buf[:0], make([]byte, headerSize)...)
	if len(q.name) == 0 {
		return // it could not be read
	}
	w.buf = append(w.buf, q.name...)
	w.buf = binary.BigEndian.AppendUint16(w.buf, q.qtype)
	w.buf = binary.BigEndian.AppendUint16(w.buf, q.qclass)
	w.at[0] = headerSize
}

// cleared returns s with n zero elements.
func cleared[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// choose writes choices until no more fit or may be told. It leaves them at the front of order and returns how many they
// are, and how many there would be for somebody who takes more.
func (w *writer) choose(limit int, c *Config) (chosen, want int) {
	want = len(w.p.choices)
	if w.p.limit > 0 {
		want = min(want, w.p.limit)
	}
	if w.p.addresses && c.ARecordLimit > 0 {
		want = min(want, c.ARecordLimit)
	}
	most := want
	if w.q.small() && c.UDPAnswerLimit > 0 && !w.p.chain {
		most = min(most, c.UDPAnswerLimit)
	}
	w.draw(most)
	reserved := 0
	for _, i := range w.order {
		choice := &w.p.choices[i]
		mark := len(w.buf)
		fresh := w.record(&choice.rr)
		need := 0
		for _, n := range choice.with {
			if !w.said[n] {
				need += w.cost(&w.p.records[n])
			}
		}
		if len(w.buf)+reserved+need > limit {
			w.buf = w.buf[:mark]
			if fresh {
				w.at[choice.rr.target] = 0
			}
			break
		}
		reserved += need
		for _, n := range choice.with {
			w.said[n] = true
		}
		chosen++
	}
	return chosen, want
}

// draw fills order with the numbers of n choices: any of them, in any order, when they are equals.
func (w *writer) draw(n int) {
	all := len(w.p.choices)
	w.order = w.order[:0]
	if w.p.shuffle && n <= 8 && n*4 <= all {
		// Few of many: try until they differ.
		for len(w.order) < n {
			i := w.rand.Int32N(int32(all))
			if !contains(w.order, i) {
				w.order = append(w.order, i)
			}
		}
		return
	}
	for i := range all {
		w.order = append(w.order, int32(i))
	}
	if w.p.shuffle {
		for i := range n {
			j := i + int(w.rand.Int32N(int32(all-i)))
			w.order[i], w.order[j] = w.order[j], w.order[i]
		}
	}
	w.order = w.order[:n]
}

func contains(s []int32, x int32) bool {
	for _, y := range s {
		if x == y {
			return true
		}
	}
	return false
}

// additional writes what goes along with the choices, for which choose has kept room and which it has marked, then what
// is good to know while there is room.
func (w *writer) additional(order []int32, limit int) (n int) {
	for _, i := range order {
		for _, r := range w.p.choices[i].with {
			if w.said[r] {
				w.record(&w.p.records[r])
				w.said[r] = false
				n++
			}
		}
	}
	say := func(records []int32) {
		for _, r := range records {
			if !w.said[r] && len(w.buf)+w.cost(&w.p.records[r]) <= limit {
				w.said[r] = true
				w.record(&w.p.records[r])
				n++
			}
		}
	}
	for _, i := range order {
		say(w.p.choices[i].text)
	}
	say(w.p.extra)
	return n
}

// cost is how many bytes record would write.
func (w *writer) cost(r *record) int { return w.ownerCost(r.owner) + len(r.body) }

func (w *writer) ownerCost(owner int32) int {
	switch {
	case !w.full && w.at[owner] != 0:
		return 2
	case owner == 0:
		return len(w.q.name)
	}
	return len(w.p.names[owner])
}

// record writes a record. It reports whether the record's target could not be pointed to before, and now can.
func (w *writer) record(r *record) (fresh bool) {
	switch {
	case !w.full && w.at[r.owner] != 0:
		w.buf = binary.BigEndian.AppendUint16(w.buf, 0xC000|w.at[r.owner])
	case r.owner == 0:
		w.buf = append(w.buf, w.q.name...)
	default:
		w.stands(r.owner, len(w.buf))
		w.buf = append(w.buf, w.p.names[r.owner]...)
		w.zoneAsAsked()
	}
	w.buf = append(w.buf, r.body...)
	if r.zoned {
		w.zoneAsAsked()
	}
	if r.target == 0 {
		return false
	}
	return w.stands(r.target, len(w.buf)-len(w.p.names[r.target]))
}

// stands remembers where a name begins.
func (w *writer) stands(name int32, at int) (fresh bool) {
	if w.at[name] != 0 || at >= maxPointer {
		return false
	}
	w.at[name] = uint16(at)
	return true
}

// zoneAsAsked spells the zone at the end of what is written as the question does.
func (w *writer) zoneAsAsked() {
	if n := w.p.zone; n > 0 && n <= len(w.q.name) {
		copy(w.buf[len(w.buf)-n:], w.q.name[len(w.q.name)-n:])
	}
}

// opt writes the EDNS record.
func (w *writer) opt() {
	e := &w.q.edns
	w.buf = append(w.buf, 0)
	w.buf = binary.BigEndian.AppendUint16(w.buf, dns.TypeOPT)
	w.buf = binary.BigEndian.AppendUint16(w.buf, e.size)
	do := byte(0)
	if e.do {
		do = 0x80
	}
	w.buf = append(w.buf, byte(w.p.rcode>>4), 0, do, 0)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(len(e.options)))
	w.buf = append(w.buf, e.options...)
}
