package main

import (
	"errors"
	"math"

	"github.com/spf13/cobra"

	"github.com/penguinmails/rookery"
)

// doors is what the flags of serve say of who may come in, and how.
type doors struct {
	requireKey bool
	rate       float64
	cert, key  string
}

func (d *doors) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&d.requireKey, "require-key", false, "let nobody in without a key, of ROOKERY_API_KEYS or made by rookery keys; any address may then be listened on (default ROOKERY_REQUIRE_KEY)")
	f.Float64Var(&d.rate, "rate", 0, "requests a second that each key of rookery keys may make; below 0: no limit (default ROOKERY_RATE or 1000)")
	f.StringVar(&d.cert, "tls-cert", "", "PEM `file` of the certificate to speak TLS with (default ROOKERY_TLS_CERT)")
	f.StringVar(&d.key, "tls-key", "", "PEM `file` of its key (default ROOKERY_TLS_KEY)")
}

// set puts what the flags say over what the environment said.
func (d *doors) set(c *cobra.Command, config *rookery.Config) error {
	if c.Flags().Changed("require-key") {
		config.RequireKey = d.requireKey
	}
	if c.Flags().Changed("rate") {
		if math.IsNaN(d.rate) || d.rate == 0 || d.rate > 1e6 {
			return &usageError{errors.New("--rate must be requests a second, up to 1000000, or below 0 for no limit")}
		}
		config.Rate = d.rate
	}
	if d.cert != "" {
		config.TLSCert = d.cert
	}
	if d.key != "" {
		config.TLSKey = d.key
	}
	return nil
}
