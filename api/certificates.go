package api

// InlineCertificate is a certificate for listeners of API gateways, with its private key, both in PEM.
type InlineCertificate struct {
	Kind        string
	Name        string
	Certificate string
	PrivateKey  string
	EntryCommon
}

// EntryKind returns "inline-certificate".
func (*InlineCertificate) EntryKind() string { return KindInlineCertificate }

// EntryName returns the name of the certificate.
func (e *InlineCertificate) EntryName() string { return e.Name }

// FileSystemCertificate is a certificate for listeners of API gateways that is in files on the gateways' hosts.
type FileSystemCertificate struct {
	Kind        string
	Name        string
	Certificate string `json:",omitempty"`
	PrivateKey  string `json:",omitempty"`
	EntryCommon
}

// EntryKind returns "file-system-certificate".
func (*FileSystemCertificate) EntryKind() string { return KindFileSystemCertificate }

// EntryName returns the name of the certificate.
func (e *FileSystemCertificate) EntryName() string { return e.Name }
