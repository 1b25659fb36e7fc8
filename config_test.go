package rookery_test

import (
	"os"
	"path/filepath"
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
