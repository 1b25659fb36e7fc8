package rookery

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/joho/godotenv"
)

// LoadConfig reads the configuration: getenv (usually [os.Getenv]) wins over the
// file, which has lines NAME=value and may be "". A value with a $ or # in it stands
// in single quotes there; a name that nothing here asks for is an error. Each secret
// may instead be named by a file that holds it:
// DATABASE_URL_FILE, DATABASE_LISTEN_URL_FILE, REDIS_URL_FILE, ROOKERY_API_KEYS_FILE,
// ROOKERY_OIDC_CLIENT_SECRET_FILE.
// No error repeats a value of a secret.
func LoadConfig(file string, getenv func(string) string) (Config, error) {
	c, _, err := load(file, getenv)
	return c, err
}

// load is [LoadConfig], and tells what it has read. A name in the file that nothing
// here asks for is an error: it is a typing error, or meant for somebody else.
func load(file string, getenv func(string) string) (Config, *reading, error) {
	from := &reading{getenv: getenv}
	var named []string
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return Config{}, from, fmt.Errorf("read config file: %w", err)
		}
		if from.file, err = godotenv.UnmarshalBytes(text); err != nil {
			// What the parser says repeats the text, secrets and all.
			return Config{}, from, fmt.Errorf("read config file %s: it is not lines of NAME=value", file)
		}
		named = namesOf(from.file)
		for _, name := range []string{"DATABASE_URL", "DATABASE_LISTEN_URL", "REDIS_URL", "ROOKERY_API_KEYS", "ROOKERY_OIDC_CLIENT_SECRET"} {
			if getenv(name) != "" || getenv(name+suffixFile) != "" {
				delete(from.file, name)
				delete(from.file, name+suffixFile)
			}
		}
	}
	c, err := configOf(from.read)
	if err == nil {
		err = from.unknown(named)
	}
	return c, from, err
}

// configOf makes a Config of what read returns.
func configOf(read func(string) string) (Config, error) {
	c := Config{HTTPAddr: read("ROOKERY_HTTP_ADDR"), LogFormat: read("ROOKERY_LOG_FORMAT")}
	var err error
	if c.DatabaseURL, err = secret(read, "DATABASE_URL"); err != nil {
		return c, err
	}
	if c.ListenURL, err = secret(read, "DATABASE_LISTEN_URL"); err != nil {
		return c, err
	}
	if c.RedisURL, err = secret(read, "REDIS_URL"); err != nil {
		return c, err
	}
	keys, err := secret(read, "ROOKERY_API_KEYS")
	if err != nil {
		return c, err
	}
	for key := range strings.FieldsFuncSeq(keys, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		c.APIKeys = append(c.APIKeys, key)
	}
	if text := read("ROOKERY_LEASE"); text != "" {
		if c.Lease, err = time.ParseDuration(text); err != nil || c.Lease < time.Second || c.Lease > time.Hour {
			return c, fmt.Errorf("ROOKERY_LEASE is %q, must be a duration from 1s to 1h", text)
		}
	}
	c.Wake = read("ROOKERY_WAKE")
	if err := CheckWake("ROOKERY_WAKE", c.Wake); err != nil {
		return c, err
	}
	c.TLSCert, c.TLSKey = read("ROOKERY_TLS_CERT"), read("ROOKERY_TLS_KEY")
	if c.Rate, err = rateOf(read); err != nil {
		return c, err
	}
	if c.RequireKey, err = requireKeyOf(read); err != nil {
		return c, err
	}
	if c.OIDC, err = oidcOf(read); err != nil {
		return c, err
	}
	if c.UI, err = uiOf(read("ROOKERY_UI")); err != nil {
		return c, err
	}
	if c.Push, err = pushOf(read); err != nil {
		return c, err
	}
	if c.Spool, err = spoolOf(read); err != nil {
		return c, err
	}
	if c.Retention, err = retentionOf(read, "ROOKERY_RETENTION"); err != nil {
		return c, err
	}
	if c.RetentionDead, err = retentionOf(read, "ROOKERY_RETENTION_DEAD"); err != nil {
		return c, err
	}
	if c.RetentionOperations, err = retentionOf(read, "ROOKERY_RETENTION_OPERATIONS"); err != nil {
		return c, err
	}
	if text := read("ROOKERY_LOG_LEVEL"); text != "" {
		if err := c.LogLevel.UnmarshalText([]byte(text)); err != nil {
			return c, fmt.Errorf("ROOKERY_LOG_LEVEL is %q, must be debug, info, warn or error", text)
		}
	}
	if c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json" {
		return c, fmt.Errorf("ROOKERY_LOG_FORMAT is %q, must be text or json", c.LogFormat)
	}
	return c, nil
}

// CheckWake says what is wrong with a way to be woken that name gave.
func CheckWake(name, wake string) error {
	switch wake {
	case "", WakeNotify, WakeWAL:
		return nil
	}
	return fmt.Errorf("%s is %q, must be %s or %s", name, wake, WakeNotify, WakeWAL)
}

// secret reads NAME, or the file that NAME_FILE names.
func secret(read func(string) string, name string) (string, error) {
	value, file := read(name), read(name+suffixFile)
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("%s and %s_FILE are both set; one of them must go", name, name)
	case file == "":
		return value, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err // not the name: whoever mistakes _FILE puts the secret itself there
		}
		return "", fmt.Errorf("read the file that %s_FILE names: %w", name, err)
	}
	return strings.TrimSpace(string(data)), nil
}

func (c Config) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}
