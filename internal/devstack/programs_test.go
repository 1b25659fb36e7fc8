package devstack

import (
	"errors"
	"slices"
	"testing"
)

func TestFindPrograms_NamesPackages(t *testing.T) {
	if err := findPrograms([]string{"go", "sh"}); err != nil {
		t.Errorf("what is there is missing: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	var missing *MissingError
	if err := findPrograms([]string{"node", "jq"}); !errors.As(err, &missing) || !slices.Equal(missing.Packages, []string{"nodejs", "jq"}) {
		t.Errorf("findPrograms without any = %v, want the packages nodejs and jq", err)
	}
}
