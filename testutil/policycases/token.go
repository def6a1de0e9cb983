package policycases

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/parleymesh/parley/api"
)

// Issuer makes tokens.
type Issuer struct {
	Name string // of its provider, and in its tokens
	key  *ecdsa.PrivateKey
}

// NewIssuer returns an issuer with a key of its own.
func NewIssuer(t testing.TB, name string) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{name, key}
}

// KeySet is the set of the keys by which its tokens are verified, in JSON.
func (i *Issuer) KeySet(t testing.TB) string {
	t.Helper()
	point, err := i.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return string(object(t, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": i.Name, "use": "sig",
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]), "y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}}))
}

// Header is where its tokens are found in requests.
func (i *Issuer) Header() string { return "X-Token-" + i.Name }

// Provider is the entry that trusts it, with its keys inside.
func (i *Issuer) Provider(t testing.TB) *api.JWTProvider {
	t.Helper()
	return &api.JWTProvider{
		Kind: api.KindJWTProvider, Name: i.Name, Issuer: i.Name, Audiences: []string{"mesh"},
		Locations:     []api.JWTLocation{{Header: &api.JWTHeader{Name: i.Header()}}},
		JSONWebKeySet: &api.JSONWebKeySet{Local: &api.LocalJWKS{JWKS: base64.StdEncoding.EncodeToString([]byte(i.KeySet(t)))}},
	}
}

// Token makes a token for the mesh with the claims, which may replace those that it has anyway.
func (i *Issuer) Token(t testing.TB, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": i.Name, "aud": "mesh", "sub": "somebody", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	text := base64.RawURLEncoding.EncodeToString(object(t, map[string]any{"alg": "ES256", "typ": "JWT", "kid": i.Name})) + "." +
		base64.RawURLEncoding.EncodeToString(object(t, all))
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func object(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
