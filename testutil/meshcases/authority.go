package meshcases

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/parleymesh/parley/api"
	"github.com/parleymesh/parley/server/ca"
)

// Datacenter is where all services of the cases are.
const Datacenter = "dc1"

// Authority signs certificates.
type Authority struct {
	TrustDomain string
	Root        string // PEM
	provider    *ca.Builtin
	clusterID   string
	serial      uint64
}

// NewAuthority returns the authority of a new trust domain.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	return newAuthority(t, uuid.NewString(), 1)
}

// Next returns another root of the same trust domain.
func (a *Authority) Next(t testing.TB) *Authority {
	t.Helper()
	return newAuthority(t, a.clusterID, a.serial+1)
}

func newAuthority(t testing.TB, clusterID string, serial uint64) *Authority {
	t.Helper()
	root, err := ca.NewRoot(ca.RootOptions{ClusterID: clusterID, Domain: "consul", Serial: serial, Validity: 24 * time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := ca.OpenBuiltin(root)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{TrustDomain: root.TrustDomain, Root: root.Public.RootCert, provider: provider, clusterID: clusterID, serial: serial}
}

// Leaf signs a certificate for a service.
func (a *Authority) Leaf(t testing.TB, service string) api.Leaf {
	t.Helper()
	id := ca.ServiceID(a.TrustDomain, Datacenter, service)
	csr, key, err := ca.NewCSR(id)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.provider.Sign(context.Background(), ca.Request{CSR: csr, ID: id, TTL: 12 * time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	leaf.PrivateKeyPEM = key
	return leaf
}
