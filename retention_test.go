package rookery_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/internal/devstack/devtest"
	"github.com/penguinmails/rookery/relay"
)

// Nothing means the default, 0 for ever; what is too short, too long or no duration
// is refused by the name of the variable.
func TestLoadConfig_Retention(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("ROOKERY_RETENTION=2h\nROOKERY_RETENTION_DEAD=3h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	operations := func(name string) string { return map[string]string{"ROOKERY_RETENTION_OPERATIONS": "4h"}[name] }
	if c, err := rookery.LoadConfig("", operations); err != nil || c.RetentionOperations != 4*time.Hour {
		t.Errorf("operations are kept for %s, %v, want 4h", c.RetentionOperations, err)
	}
	for _, c := range []struct {
		file, keep, dead string
		want, wantDead   time.Duration
		refused          string
	}{
		{"", "", "", 0, 0, ""},
		{file, "", "", 2 * time.Hour, 3 * time.Hour, ""},
		{file, "5h", "", 5 * time.Hour, 3 * time.Hour, ""},
		{"", "0", "0s", -1, -1, ""},
		{"", "1m", "87600h", time.Minute, relay.MaxRetention, ""},
		{"", "59s", "", 0, 0, "ROOKERY_RETENTION is"},
		{"", "87601h", "", 0, 0, "ROOKERY_RETENTION is"},
		{"", "-1h", "", 0, 0, "ROOKERY_RETENTION is"},
		{"", "7", "", 0, 0, "ROOKERY_RETENTION is"},
		{"", "7d", "", 0, 0, "ROOKERY_RETENTION is"},
		{"", "1h", "59s", 0, 0, "ROOKERY_RETENTION_DEAD is"},
	} {
		env := map[string]string{"ROOKERY_RETENTION": c.keep, "ROOKERY_RETENTION_DEAD": c.dead}
		got, err := rookery.LoadConfig(c.file, func(name string) string { return env[name] })
		switch {
		case c.refused != "":
			if err == nil || !strings.HasPrefix(err.Error(), c.refused) || !strings.Contains(err.Error(), "from 1m to 87600h") {
				t.Errorf("LoadConfig(%v) = %v, want %q with the limits", env, err, c.refused)
			}
		case err != nil || got.Retention != c.want || got.RetentionDead != c.wantDead:
			t.Errorf("LoadConfig(%q, %v) = %s, %s, %v, want %s, %s", c.file, env, got.Retention, got.RetentionDead, err, c.want, c.wantDead)
		}
	}
}

// The relay of a service has the service's retentions.
func TestService_Retention(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config rookery.Config
		want   string
	}{
		{rookery.Config{Retention: -1, RetentionDead: time.Hour}, ""},
		{rookery.Config{Retention: relay.MaxRetention + 1}, "relay: retention is"},
		{rookery.Config{RetentionDead: relay.MaxRetention + 1}, "relay: retention of dead jobs is"},
	} {
		c.config.DatabaseURL, c.config.RedisURL = devtest.Postgres(t), devtest.Redis(t)
		svc, err := rookery.Open(t.Context(), c.config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = svc.Relay(); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("Relay with %s, %s = %v, want %q", c.config.Retention, c.config.RetentionDead, err, c.want)
		}
		_ = svc.Close()
	}
}
