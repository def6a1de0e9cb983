package api

import "time"

// CARoot is a root certificate that the mesh trusts. Only one is active: it signs.
type CARoot struct {
	ID                  string
	Name                string
	SerialNumber        uint64
	SigningKeyID        string
	ExternalTrustDomain string
	NotBefore           time.Time
	NotAfter            time.Time
	RootCert            string // PEM
	IntermediateCerts   []string
	Active              bool
	PrivateKeyType      string
	PrivateKeyBits      int
	CreateIndex         uint64
	ModifyIndex         uint64
}

// CARoots are all roots in force.
type CARoots struct {
	ActiveRootID string
	TrustDomain  string
	Roots        []CARoot
}

// Leaf is a service's certificate with its key.
type Leaf struct {
	SerialNumber  string
	CertPEM       string // the leaf first, then intermediates
	PrivateKeyPEM string
	Service       string
	ServiceURI    string // the SPIFFE id
	Namespace     string `json:",omitempty"`
	Partition     string `json:",omitempty"`
	ValidAfter    time.Time
	ValidBefore   time.Time
	CreateIndex   uint64
	ModifyIndex   uint64
}

// CAConfiguration selects and configures what signs certificates.
type CAConfiguration struct {
	Provider                 string
	Config                   map[string]any
	State                    map[string]string
	ForceWithoutCrossSigning bool
	CreateIndex              uint64
	ModifyIndex              uint64
}

// AuthorizeRequest asks whether the owner of a client certificate may connect to the target service.
type AuthorizeRequest struct {
	Target           string
	ClientCertURI    string
	ClientCertSerial string
	Namespace        string `json:",omitempty"`
	Partition        string `json:",omitempty"`
}

// AuthorizeReply is the answer, with the reason.
type AuthorizeReply struct {
	Authorized bool
	Reason     string
}
