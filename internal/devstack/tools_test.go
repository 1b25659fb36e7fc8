package devstack

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindTools_SaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := findTools(nil, filepath.Join(dir, "*.so"))
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("findTools of nothing = %v, want a MissingError", err)
	}
	if diff := cmp.Diff([]string{"pgbouncer", "faketime"}, missing.Packages); diff != "" {
		t.Errorf("findTools of nothing misses (-want +got):\n%s", diff)
	}
	script(t, filepath.Join(dir, "elsewhere"), "")
	script(t, filepath.Join(dir, "lib.so"), "")
	got, err := findTools([]string{filepath.Join(dir, "elsewhere")}, filepath.Join(dir, "*.so"))
	want := Tools{PgBouncer: filepath.Join(dir, "elsewhere"), Faketime: filepath.Join(dir, "lib.so")}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("findTools (-want +got), %v:\n%s", err, diff)
	}
}
