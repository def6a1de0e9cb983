// Package ca is the certificate authority of the mesh: its root certificates, the identities (SPIFFE ids) that they vouch
// for, and the leaf certificates that services show one another.
//
// What signs is a Provider; Builtin holds its key in the replicated state. Who may ask for which certificate is judged
// by the permissions that the commands name, and who may connect to whom is a matter of intentions, not of this package.
package ca
