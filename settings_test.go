package rookery_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rookery.env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// What holds is shown with where it comes from; what is secret of it is not.
func TestSettings_ValuesAndSources(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	keys := configFile(t, "key-of-16-letters-"+password)
	file := configFile(t, "ROOKERY_LEASE=20s\nROOKERY_WAKE=wal\nREDIS_URL=redis://:"+password+"@r:6379/0\n")
	all, err := rookery.Settings(file, getenv(map[string]string{
		"DATABASE_URL": "postgres://me:" + password + "@db:5432/app?sslpassword=" + password,
		"ROOKERY_WAKE": "notify", "ROOKERY_API_KEYS_FILE": keys,
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]rookery.Setting{}
	for _, s := range all {
		if got[s.Name] = s; strings.Contains(s.Value, password) {
			t.Errorf("Settings tells a secret: %+v", s)
		}
	}
	for _, want := range []rookery.Setting{
		{"DATABASE_URL", "postgres://******@db:5432/app", "environment"},
		{"REDIS_URL", "redis://******@r:6379/0", "file"},
		{"ROOKERY_API_KEYS", "******", "ROOKERY_API_KEYS_FILE"},
		{"ROOKERY_LEASE", "20s", "file"},
		{"ROOKERY_WAKE", "notify", "environment"},
		{"ROOKERY_RETENTION", "168h", "default"},
		{"DATABASE_LISTEN_URL", "", "default"},
	} {
		if got[want.Name] != want {
			t.Errorf("Settings has %+v, want %+v", got[want.Name], want)
		}
	}
	if s, ok := got["DATABASE_URL_FILE"]; ok {
		t.Errorf("Settings has %+v beside the secret", s)
	}
}

// However a URL is broken, no part of its password is taken for a host or a path.
func TestSettings_MasksBrokenURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://me:12/hunter2@db/app", "postgres://me:hunter2@x@db/app", "hunter2", "postgres://me:hunter2",
		"host=db password=hunter2", "postgres://me:12?hunter2@db/app", "postgres://me:12#hunter2@db/app",
	} {
		all, err := rookery.Settings("", getenv(map[string]string{"DATABASE_URL": url}))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if strings.Contains(s.Value, "hunter2") {
				t.Errorf("Settings of %s has %+v", url, s)
			}
		}
	}
}

// A name in the file that means nothing is an error, with the one that was meant;
// what may be a secret in a broken file is not repeated.
func TestLoadConfig_UnknownNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want string }{
		{"DATABSE_URL=x", "config file: there is no DATABSE_URL; did you mean DATABASE_URL?"},
		{"ROOKERY_LEASES=20s", "config file: there is no ROOKERY_LEASES; did you mean ROOKERY_LEASE?"},
		{"ROOKERY_NONSENSE=1", "config file: there is no ROOKERY_NONSENSE; `rookery config print` lists what there is"},
		{"c2VjcmV0LWFuZC1zbw=", "config file: a name in it is none of Rookery's; `rookery config print` lists what there is"},
		{"ROOKERY_LEASE=20s\nDATABASE_URL_FILE=" + configFile(t, "postgres://x"), ""},
	} {
		_, err := rookery.LoadConfig(configFile(t, c.file+"\n"), getenv(nil))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("LoadConfig(%q) = %v", c.file, err)
		case c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("LoadConfig(%q) = %v, want %s", c.file, err, c.want)
		}
	}
	// The environment is everybody's: what is not ours there is none of our business.
	if _, err := rookery.LoadConfig("", getenv(map[string]string{"DATABSE_URL": "x"})); err != nil {
		t.Errorf("LoadConfig with a foreign variable = %v", err)
	}
}

// README.md tells every variable, and the defaults that hold.
func TestSettings_AreInTheREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	all, err := rookery.Settings("", getenv(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		row := ""
		for line := range strings.Lines(string(text)) {
			if name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), "|"); strings.HasPrefix(line, "| ") && strings.Contains(name, "`"+s.Name+"`") {
				row = line
			}
		}
		if row == "" || !strings.Contains(row, strings.TrimSuffix(s.Value, ":8080")) {
			t.Errorf("README.md's table has %q for %s, want the default %q in it", row, s.Name, s.Value)
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimSpace(row), "|"), "|")
		told := strings.TrimSpace(cells[len(cells)-1])
		if s.Value == "" && !strings.HasPrefix(told, "none") && told != "required" && told != "`DATABASE_URL`" {
			t.Errorf("README.md says that the default of %s is %s, and `rookery config print` has none", s.Name, told)
		}
	}
}
