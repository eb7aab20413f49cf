package config

import (
	"path/filepath"
	"strconv"

	"carillon"
	"carillon/internal/auth"
)

// Issuer is one entry of `issuers:`: who signs tokens, and where its keys are.
type Issuer struct {
	auth.Issuer `yaml:",inline"`
	// JWKSFile holds the issuer's public keys (RFC 7517); relative to the
	// configuration file.
	JWKSFile string `yaml:"jwksFile"`
}

func (c *Config) checkIssuers(in *intake, dir string) {
	for i := range c.Issuers {
		s, path := &c.Issuers[i], "issuers["+strconv.Itoa(i)+"]"
		if err := s.Validate(); err != nil {
			in.problem(in.place(path), path, carillon.AsError(err).Message)
		}
		switch {
		case s.JWKSFile == "":
			in.problem(in.place(path), path+".jwksFile", "is missing: name the file with the issuer's public keys")
		case !filepath.IsAbs(s.JWKSFile):
			s.JWKSFile = filepath.Join(dir, s.JWKSFile)
		}
	}
}
