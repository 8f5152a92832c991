package origin

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/seed14307185/refract/rules"
)

// credentials are how a server is known over TLS, and we to it.
type credentials struct {
	config *tls.Config
	key    string // equal if everything is, the files' content included
}

// loadTLS reads the files of an origin's TLS settings.
func loadTLS(dir string, o rules.OriginTLS) (*credentials, error) {
	digest := sha256.New()
	fmt.Fprintf(digest, "%q %v", o.Name, o.Insecure)
	read := func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		b, err := os.ReadFile(name)
		fmt.Fprintf(digest, " %d %s", len(b), b)
		return b, err
	}
	c := &tls.Config{
		ServerName: o.Name, InsecureSkipVerify: o.Insecure,
		NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if o.CA != "" {
		pem, err := read(o.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the origin's CA: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the origin's CA %s holds no certificate\nhint: it must be a PEM file", o.CA)
		}
	}
	if o.Cert != "" || o.Key != "" {
		cert, err := read(o.Cert)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate for the origin: %w", err)
		}
		key, err := read(o.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate's key for the origin: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("the client certificate for the origin: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return &credentials{c, fmt.Sprintf(" tls %x", digest.Sum(nil))}, nil
}

// forHost returns the credentials for a server of that name.
func (c *credentials) forHost(host string) *credentials {
	config := c.config.Clone()
	config.ServerName = cmp.Or(config.ServerName, host)
	return &credentials{config, c.key}
}

func (c *credentials) client(under net.Conn) *tls.Conn { return tls.Client(under, c.config) }
