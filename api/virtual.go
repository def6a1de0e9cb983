package api

// TaggedVirtual is the tagged address under which an instance in the mesh shows the virtual address of the service that
// it answers for.
const TaggedVirtual = "consul-virtual"

// VirtualAddress is an address that belongs to no host: proxies take a connection to it for one to the service.
type VirtualAddress struct {
	Service string
	Address string
}
