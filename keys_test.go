package rookery_test

import (
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

// Who may come in over HTTP, and how often, stands in the environment; what it may not
// say is one error that names the variable.
func TestLoadConfig_Doors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		require     bool
		rate        float64
		refused     bool
	}{
		{"ROOKERY_REQUIRE_KEY", "", false, 0, false},
		{"ROOKERY_REQUIRE_KEY", "true", true, 0, false},
		{"ROOKERY_REQUIRE_KEY", "0", false, 0, false},
		{"ROOKERY_REQUIRE_KEY", "maybe", false, 0, true},
		{"ROOKERY_RATE", "2.5", false, 2.5, false},
		{"ROOKERY_RATE", "-1", false, -1, false},
		{"ROOKERY_RATE", "1000000", false, 1e6, false},
		{"ROOKERY_RATE", "1000001", false, 0, true},
		{"ROOKERY_RATE", "0", false, 0, true},
		{"ROOKERY_RATE", "NaN", false, 0, true},
		{"ROOKERY_RATE", "fast", false, 0, true},
	} {
		got, err := rookery.LoadConfig("", func(name string) string {
			if name == c.name {
				return c.value
			}
			return ""
		})
		if c.refused != (err != nil) || err != nil && !strings.Contains(err.Error(), c.name) {
			t.Errorf("LoadConfig(%s=%s) = %v, want it refused: %t", c.name, c.value, err, c.refused)
		}
		if err == nil && (got.RequireKey != c.require || got.Rate != c.rate) {
			t.Errorf("LoadConfig(%s=%s) = %t, %g, want %t, %g", c.name, c.value, got.RequireKey, got.Rate, c.require, c.rate)
		}
	}
}
