//go:build linux

package release

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const version = "9.9.9-test"

func TestRelease_StaticReproducibleAndItsVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
	dist := filepath.Join(t.TempDir(), "dist")
	sums := build(t, dist)
	name := "rookery-" + version + "-" + runtime.GOOS + "-" + runtime.GOARCH
	if !strings.Contains(sums, name+".tar.gz") || !strings.Contains(sums, name+".modules.txt") {
		t.Fatalf("SHA256SUMS = %s, want an archive and its modules", sums)
	}
	command(t, dist, "sha256sum", "-c", "--strict", "SHA256SUMS")
	command(t, dist, "tar", "-xzf", name+".tar.gz")
	binary := filepath.Join(dist, name, "rookery")

	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %s: it is not static", p.Type)
		}
	}
	var b struct{ Version, Commit string }
	if err := json.Unmarshal([]byte(command(t, dist, binary, "version", "-o", "json")), &b); err != nil {
		t.Fatal(err)
	}
	if head := strings.TrimSpace(command(t, ".", "git", "rev-parse", "HEAD")); b.Version != version || b.Commit != head {
		t.Errorf("rookery version = %+v, want %s of commit %s", b, version, head)
	}
	for _, path := range []string{"LICENSE", "README.md", "man/rookery.1"} {
		if _, err := os.Stat(filepath.Join(dist, name, path)); err != nil {
			t.Error(err)
		}
	}

	if diff := cmp.Diff(sums, build(t, filepath.Join(t.TempDir(), "other"))); diff != "" {
		t.Errorf("the same commit gives other bytes (-first +second):\n%s", diff)
	}
}

func TestRelease_RefusesAVersionThatIsNone(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("../../scripts/release")
	cmd.Env = append(os.Environ(), "VERSION=1.0 -X main.x=y", "PLATFORMS=", "DIST="+filepath.Join(t.TempDir(), "dist"))
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "VERSION is") {
		t.Errorf("scripts/release with a space in VERSION: %v\n%s", err, out)
	}
}

// build runs the script for this platform and for one that no test runs on, which is
// all that shows whether the program compiles there, and returns SHA256SUMS.
func build(t *testing.T, dist string) string {
	t.Helper()
	cmd := exec.Command("../../scripts/release")
	cmd.Env = append(os.Environ(), "VERSION="+version, "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH+" darwin/arm64", "DIST="+dist)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("scripts/release: %v\n%s", err, out)
	}
	sums, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	return string(sums)
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
