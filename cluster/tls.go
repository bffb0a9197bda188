package cluster

import (
	"crypto/tls"
	"net"
)

// serverTLS is for whoever connects: it must have a certificate of the cluster's.
func serverTLS(cfg *tls.Config) *tls.Config {
	cfg = withVersion(cfg)
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if cfg.ClientCAs == nil {
		cfg.ClientCAs = cfg.RootCAs
	}
	return cfg
}

// clientTLS is for a connection to address.
func clientTLS(cfg *tls.Config, address string) *tls.Config {
	cfg = withVersion(cfg)
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(address)
	}
	return cfg
}

func withVersion(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS13
	}
	return cfg
}
