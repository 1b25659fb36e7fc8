package rookery_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/penguinmails/rookery"
)

// What a login at the issuer needs comes together, or there is one error that says what is
// missing.
func TestLoadConfig_Login(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"ROOKERY_OIDC_ISSUER": "https://id.example.com", "ROOKERY_OIDC_AUDIENCE": "rookery", "ROOKERY_OIDC_CLIENT_ID": "dashboard",
		"ROOKERY_OIDC_CLIENT_SECRET": "sixteen-bytes-or", "ROOKERY_UI_URL": "https://rookery.example.com/", "ROOKERY_OIDC_LOGIN_SCOPES": "groups",
	}
	want := rookery.OIDCLogin{ClientID: "dashboard", ClientSecret: "sixteen-bytes-or", URL: "https://rookery.example.com/", Scopes: "groups"}
	for _, tt := range []struct{ name, value, err string }{
		{"", "", ""},
		{"ROOKERY_OIDC_CLIENT_ID", "", "needed together"},
		{"ROOKERY_OIDC_CLIENT_SECRET", "", "needed together"},
		{"ROOKERY_UI_URL", "", "needed together"},
		{"ROOKERY_OIDC_CLIENT_SECRET", "fifteen-bytes-a", "has 15 bytes, must have 16"},
		{"ROOKERY_UI_URL", "https://rookery.example.com/somewhere", "without a path"},
		{"ROOKERY_OIDC_ISSUER", "", "ROOKERY_OIDC_ISSUER is needed"},
		{"ROOKERY_OIDC_AUDIENCE", "", "ROOKERY_OIDC_AUDIENCE is needed"},
	} {
		env := maps.Clone(good)
		if tt.name != "" {
			env[tt.name] = tt.value
		}
		c, err := rookery.LoadConfig("", func(name string) string { return env[name] })
		if tt.err == "" && (err != nil || c.OIDC.Login != want) {
			t.Errorf("LoadConfig = %+v, %v, want %+v", c.OIDC.Login, err, want)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("LoadConfig with %s=%q: %v, want %q", tt.name, tt.value, err, tt.err)
		}
	}
}
