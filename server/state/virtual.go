package state

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"

	"github.com/parleymesh/parley/api"
)

// Virtual is the row of a virtual address: the nth of 240.0.0.0/4, from 1. One whose service is gone is kept as free, so that
// the rows are dense and the next address is found without a search.
type Virtual struct {
	N           uint32
	Tenant      api.Tenant // of the service; all tenants share the addresses
	Service     string     // empty: it is free
	ModifyIndex uint64
}

var virtuals = &table[Virtual]{
	name: "virtual-addresses", version: 1,
	key: func(_ *Tx, v *Virtual) string { return virtualKey(v.N) },
	by1: func(_ *Tx, v *Virtual) string {
		if v.Service == "" {
			return ""
		}
		return key(v.Tenant, fold(v.Service))
	},
	by2: func(_ *Tx, v *Virtual) string {
		if v.Service != "" {
			return ""
		}
		// The one that has been free longest comes first: clients may still remember whose the others were.
		return key(api.Tenant{}, fmt.Sprintf("%016x", v.ModifyIndex))
	},
}

func virtualKey(n uint32) string { return key(api.Tenant{}, fmt.Sprintf("%08x", n)) }

// topicVirtual is who has a virtual address, by the service's name and by the address.
const topicVirtual Kind = "virtual-address"

const (
	virtualNet = 240 << 24
	maxVirtual = 1<<28 - 2 // 255.255.255.255 is everybody's
)

// address is the nth virtual address.
func (v *Virtual) address() string {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, virtualNet|v.N))).String()
}

// VirtualAddress returns a service's virtual address, or nil when it has none.
func VirtualAddress(tx *Tx, service string) *api.VirtualAddress {
	tx.saw(topicVirtual, fold(service))
	return public(virtualOf(tx, service))
}

// VirtualOwner returns the virtual address that is spelled so, or nil when no service has it.
func VirtualOwner(tx *Tx, address string) *api.VirtualAddress {
	tx.saw(topicVirtual, address)
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return nil
	}
	b := a.As4()
	n := binary.BigEndian.Uint32(b[:])
	if n < virtualNet {
		return nil
	}
	return public(virtuals.get(tx, virtualKey(n-virtualNet)))
}

func public(v *Virtual) *api.VirtualAddress {
	if v == nil || v.Service == "" {
		return nil
	}
	return &api.VirtualAddress{Service: v.Service, Address: v.address()}
}

func virtualOf(tx *Tx, service string) *Virtual {
	for v := range virtuals.listBy1(tx, tx.key(fold(service))) {
		return v
	}
	return nil
}

// assignVirtual returns the virtual address of a service, which is given one if it has none. It is empty only when there are
// no more.
func assignVirtual(tx *Tx, service string) string {
	if v := virtualOf(tx, service); v != nil {
		return v.address()
	}
	next := Virtual{N: 1, Tenant: tx.tenant, Service: service, ModifyIndex: tx.index}
	if free := firstFree(tx); free != nil {
		next.N = free.N
	} else if last := virtuals.last(tx, key(api.Tenant{})); last != nil {
		next.N = last.N + 1
	}
	if next.N > maxVirtual {
		return ""
	}
	virtuals.put(tx, &next)
	virtualTouched(tx, service, next.address())
	return next.address()
}

func firstFree(tx *Tx) *Virtual {
	for v := range virtuals.listBy2(tx, key(api.Tenant{})) {
		return v
	}
	return nil
}

func virtualTouched(tx *Tx, service, address string) {
	tx.touch(topicVirtual, fold(service))
	tx.touch(topicVirtual, address)
}

// virtualChanged gives a service its virtual address, or frees it, when there is a new reason for one or one less.
func virtualChanged(tx *Tx, service string) {
	if wantsVirtual(tx, service) {
		assignVirtual(tx, service)
		return
	}
	if v := virtualOf(tx, service); v != nil {
		virtuals.put(tx, &Virtual{N: v.N, ModifyIndex: tx.index})
		virtualTouched(tx, service, v.address())
	}
}

// wantsVirtual tells whether a service is in the mesh: something answers for it there, or its name leads elsewhere.
func wantsVirtual(tx *Tx, service string) bool {
	for range services.listBy2(tx, tx.key(fold(service))) {
		return true
	}
	for _, kind := range virtualKinds {
		if configEntries.get(tx, tx.key(kind, service)) != nil {
			return true
		}
	}
	return false
}

// virtualKinds are the kinds of config entries that make a name one of the mesh.
var virtualKinds = []string{"service-resolver", "service-router", "service-splitter"}

// withVirtual returns the instance with its service's virtual address, if it answers for a service in the mesh.
func withVirtual(tx *Tx, s api.Service) api.Service {
	d := meshDestination(&s)
	if d == "" {
		return s
	}
	address := assignVirtual(tx, d)
	if address == "" {
		return s
	}
	tagged := maps.Clone(s.TaggedAddresses)
	if tagged == nil {
		tagged = map[string]api.ServiceAddress{}
	}
	tagged[api.TaggedVirtual] = api.ServiceAddress{Address: address, Port: s.Port}
	s.TaggedAddresses = tagged
	return s
}
