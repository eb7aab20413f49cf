package config

import (
	"path/filepath"
	"strconv"

	"carillon"
	"carillon/internal/auth"
)

// Issuer is one entry of `issuers:`: who signs tokens, and where its keys are:
// where the issuer publishes them, unless a file holds them.
type Issuer struct {
	auth.Issuer     `yaml:",inline"`
	auth.OIDCConfig `yaml:",inline"`
	// JWKSFile holds the issuer's public keys (RFC 7517); relative to the
	// configuration file. It is read once.
	JWKSFile string `yaml:"jwksFile"`
}

func (c *Config) checkIssuers(in *intake, dir string) {
	for i := range c.Issuers {
		s, path := &c.Issuers[i], "issuers["+strconv.Itoa(i)+"]"
		if err := s.Validate(); err != nil {
			in.problem(in.place(path), path, carillon.AsError(err).Message)
		}
		if s.JWKSFile != "" && (s.JWKSURL != "" || s.DiscoveryURL != "") {
			in.problem(in.place(path), path+".jwksFile", "stands beside a URL: the keys come from one of them")
		}
		for _, file := range []*string{&s.JWKSFile, &s.CAFile} {
			if *file != "" && !filepath.IsAbs(*file) {
				*file = filepath.Join(dir, *file)
			}
		}
	}
}
