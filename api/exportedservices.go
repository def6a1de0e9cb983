package api

// ExportedServices says which services others may use: those of peers. There is one entry, named "default".
type ExportedServices struct {
	Kind     string
	Name     string
	Services []ExportedService `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "exported-services".
func (*ExportedServices) EntryKind() string { return KindExportedServices }

// EntryName returns the entry's name, "default" in a valid entry.
func (e *ExportedServices) EntryName() string { return e.Name }

// ExportedService is a service, or all of them when it is "*", and who may use it.
type ExportedService struct {
	Name      string
	Namespace string            `json:",omitempty"`
	Consumers []ServiceConsumer `json:",omitempty"`
}

// ServiceConsumer is one who may use a service: one of the three.
type ServiceConsumer struct {
	Partition     string `json:",omitempty"`
	Peer          string `json:",omitempty" alias:"PeerName"`
	SamenessGroup string `json:",omitempty"`
}

// ResolvedExport is a service that is exported, and to whom, as all that is in force has it.
type ResolvedExport struct {
	Service   string
	Consumers ResolvedConsumers
}

// ResolvedConsumers lists those who may use an exported service.
type ResolvedConsumers struct {
	Peers []string `json:",omitempty"`
}
