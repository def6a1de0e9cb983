package dns

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// kind says what a name is the name of.
type kind uint8

const (
	foreign    kind = iota // outside our domains
	nothing                // inside, but it can be the name of nothing
	serviceFor             // instances of a service
	meshFor                // what answers for a service in the mesh
	queryFor               // instances that a prepared query finds
	virtualFor             // a service's virtual address
	nodeFor                // a node
	addressFor             // an address, spelled out in the name
	reverseFor             // whoever has an address
)

// lookup is what a question's name means.
type lookup struct {
	kind kind
	name string // of the service or the node
	tag  string // that the instances must have; empty: any
	dc   string // empty: ours
	addr netip.Addr
	zone string // the domain asked, in lower case, with a dot at the end; for reverse names, the first of ours
}

// zones reads names.
type zones struct {
	datacenter string
	domains    [][]string // ours, as labels in lower case
}

func newZones(datacenter string, domains ...string) zones {
	z := zones{datacenter: strings.ToLower(datacenter)}
	for _, d := range domains {
		if d = strings.ToLower(strings.Trim(d, ".")); d != "" {
			z.domains = append(z.domains, strings.Split(d, "."))
		}
	}
	return z
}

// labels are those of a name on the wire.
func labels(wire []byte) []string {
	var out []string
	for len(wire) > 1 {
		n := int(wire[0])
		out = append(out, string(wire[1:1+n]))
		wire = wire[1+n:]
	}
	return out
}

// lookup reads a name on the wire, in lower case.
func (z zones) lookup(wire []byte) lookup {
	all := labels(wire)
	for _, d := range z.domains {
		if n := len(all) - len(d); n >= 0 && slices.Equal(all[n:], d) {
			l := z.within(all[:n])
			l.zone = strings.Join(d, ".") + "."
			return l
		}
	}
	l := reverse(all)
	if l.kind == reverseFor {
		l.zone = strings.Join(z.domains[0], ".") + "."
	}
	return l
}

// within reads what stands before the domain: [tag.]name.service[.dc], and its relations.
func (z zones) within(all []string) lookup {
	for i := len(all) - 1; i >= 0; i-- {
		before, l := all[:i], lookup{}
		switch all[i] {
		case "service":
			l = serviceNamed(before)
		case "connect":
			l = oneNamed(meshFor, before)
		case "node":
			if len(before) > 0 {
				l = lookup{kind: nodeFor, name: strings.Join(before, ".")}
			}
		case "addr":
			return addressNamed(before)
		case "query":
			l = queryNamed(before)
		case "virtual":
			l = oneNamed(virtualFor, before)
		case "ingress":
			// It needs gateways, which no table of ours holds yet.
		default:
			continue
		}
		return z.in(l, all[i+1:])
	}
	// RFC 2782 does without the word "service".
	if len(all) >= 2 && isUnderscored(all[0]) && isUnderscored(all[1]) {
		return z.in(serviceNamed(all[:2]), all[2:])
	}
	return lookup{kind: nothing}
}

// in adds the place: a datacenter, or pairs such as "dc1.dc" and "default.ns". Names such as "other.peer" are kept for
// what peers export; until there are peers, nothing has one.
func (z zones) in(l lookup, place []string) lookup {
	none := lookup{kind: nothing}
	if l.kind == foreign {
		return none
	}
	if len(place) == 1 {
		l.dc = place[0]
		place = nil
	}
	for ; len(place) > 0; place = place[2:] {
		if len(place) == 1 {
			return none
		}
		switch word := place[0]; {
		case place[1] == "dc" && l.dc == "":
			l.dc = word
		case (place[1] == "ns" || place[1] == "ap") && word == "default":
		default:
			return none
		}
	}
	if l.dc == z.datacenter {
		l.dc = ""
	}
	return l
}

// serviceNamed reads "web", "v1.web", "_web._tcp" and "_web._v1". A tag may have dots in it.
func serviceNamed(before []string) lookup {
	l := lookup{kind: serviceFor}
	switch n := len(before); {
	case n == 0:
		return lookup{}
	case n == 2 && isUnderscored(before[0]) && isUnderscored(before[1]):
		l.name = before[0][1:]
		if l.tag = before[1][1:]; l.tag == "tcp" {
			l.tag = ""
		}
	default:
		l.name, l.tag = before[n-1], strings.Join(before[:n-1], ".")
	}
	return l
}

// queryNamed reads "name", which may have dots in it, and "_name._tcp".
func queryNamed(before []string) lookup {
	switch {
	case len(before) == 0:
		return lookup{}
	case len(before) == 2 && isUnderscored(before[0]) && before[1] == "_tcp":
		return lookup{kind: queryFor, name: before[0][1:]}
	}
	return lookup{kind: queryFor, name: strings.Join(before, ".")}
}

func oneNamed(k kind, before []string) lookup {
	if len(before) != 1 {
		return lookup{}
	}
	return lookup{kind: k, name: before[0]}
}

func isUnderscored(label string) bool { return len(label) > 1 && label[0] == '_' }

// addressNamed reads an address of 8 or 32 hexadecimal digits.
func addressNamed(before []string) lookup {
	if len(before) == 1 {
		if b, err := hex.DecodeString(before[0]); err == nil {
			if addr, ok := netip.AddrFromSlice(b); ok {
				return lookup{kind: addressFor, addr: addr}
			}
		}
	}
	return lookup{kind: nothing}
}

// reverse reads the names under in-addr.arpa and ip6.arpa. One that is too short or malformed belongs to nobody, but is
// ours to deny.
func reverse(all []string) lookup {
	n := len(all)
	if n < 2 || all[n-1] != "arpa" {
		return lookup{kind: foreign}
	}
	switch all[n-2] {
	case "in-addr":
		return lookup{kind: reverseFor, addr: reverse4(all[:n-2])}
	case "ip6":
		return lookup{kind: reverseFor, addr: reverse6(all[:n-2])}
	}
	return lookup{kind: foreign}
}

func reverse4(octets []string) (none netip.Addr) {
	if len(octets) != 4 {
		return none
	}
	var b [4]byte
	for i, text := range octets {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil {
			return none
		}
		b[3-i] = byte(n)
	}
	return netip.AddrFrom4(b)
}

func reverse6(nibbles []string) (none netip.Addr) {
	if len(nibbles) != 32 {
		return none
	}
	var b [16]byte
	for i, text := range nibbles {
		n, err := strconv.ParseUint(text, 16, 4)
		if err != nil {
			return none
		}
		b[15-i/2] |= byte(n) << (4 * (i % 2))
	}
	return netip.AddrFrom16(b).Unmap()
}
