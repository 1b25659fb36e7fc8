package rookery_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

// Where relays listen is a secret of its own, which environment and file may give.
func TestLoadConfig_ListenURL(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(secret, []byte("postgres://from-secret/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("DATABASE_LISTEN_URL=postgres://from-file/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		env  map[string]string
		want string
	}{
		{"", nil, ""},
		{file, nil, "postgres://from-file/x"},
		{file, map[string]string{"DATABASE_LISTEN_URL": "postgres://from-env/x"}, "postgres://from-env/x"},
		{file, map[string]string{"DATABASE_LISTEN_URL_FILE": secret}, "postgres://from-secret/x"},
	} {
		got, err := rookery.LoadConfig(c.file, func(name string) string { return c.env[name] })
		if err != nil || got.ListenURL != c.want {
			t.Errorf("LoadConfig(%q, %v).ListenURL = %q, %v, want %q", c.file, c.env, got.ListenURL, err, c.want)
		}
	}
}

// How relays are woken stands in the file or in the environment; what else it says
// is one error that names the variable and what it may be.
func TestLoadConfig_Wake(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("ROOKERY_WAKE=wal\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const refused = `must be notify or wal`
	for _, c := range []struct{ file, env, want, err string }{
		{"", "", "", ""},
		{"", "notify", "notify", ""},
		{"", "wal", "wal", ""},
		{file, "", "wal", ""},
		{file, "notify", "notify", ""},
		{"", "WAL", "", `ROOKERY_WAKE is "WAL", ` + refused},
		{file, "poll", "", `ROOKERY_WAKE is "poll", ` + refused},
	} {
		got, err := rookery.LoadConfig(c.file, func(name string) string {
			if name == "ROOKERY_WAKE" {
				return c.env
			}
			return ""
		})
		switch {
		case c.err != "" && (err == nil || err.Error() != c.err):
			t.Errorf("LoadConfig(%q, ROOKERY_WAKE=%s) = %v, want %s", c.file, c.env, err, c.err)
		case c.err == "" && (err != nil || got.Wake != c.want):
			t.Errorf("LoadConfig(%q, ROOKERY_WAKE=%s).Wake = %q, %v, want %q", c.file, c.env, got.Wake, err, c.want)
		}
	}
	_, err := rookery.Open(t.Context(), rookery.Config{DatabaseURL: "postgres://x@127.0.0.1:1/x", RedisURL: "redis://127.0.0.1:1", Wake: "often"})
	if err == nil || !strings.Contains(err.Error(), refused) {
		t.Errorf("Open with Wake often = %v", err)
	}
}
