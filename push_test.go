package rookery_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penguinmails/rookery"
	"github.com/penguinmails/rookery/job"
)

func TestLoadConfig_Push(t *testing.T) {
	t.Parallel()
	c, err := rookery.LoadConfig("", getenv(map[string]string{
		"ROOKERY_PUSH": "true", "ROOKERY_PUSH_ALLOW_HTTP": "1", "ROOKERY_PUSH_ALLOW_PORTS": "80, 3000", "ROOKERY_PUSH_ALLOW_NETWORKS": "10.1.0.0/16,fd00:1::/32",
	}))
	if want := "{true true [80 3000] [10.1.0.0/16 fd00:1::/32]}"; err != nil || fmt.Sprint(c.Push) != want {
		t.Errorf("LoadConfig = %v, %v, want %s", c.Push, err, want)
	}
	for name, values := range map[string][]string{
		"ROOKERY_PUSH":                {"yes", "on"},
		"ROOKERY_PUSH_ALLOW_HTTP":     {"https"},
		"ROOKERY_PUSH_ALLOW_PORTS":    {"0", "65536", "-1", "80-90", "http"},
		"ROOKERY_PUSH_ALLOW_NETWORKS": {"10.0.0.1", "10.0.0.1/8", "::ffff:10.0.0.0/104", "example.com", "10.0.0.0/33"},
	} {
		for _, value := range values {
			if _, err := rookery.LoadConfig("", getenv(map[string]string{name: value})); err == nil || !strings.HasPrefix(err.Error(), name+" ") {
				t.Errorf("LoadConfig with %s=%s = %v, want an error that names it", name, value, err)
			}
		}
	}
}

func TestSignWebhook_IsVerified(t *testing.T) {
	t.Parallel()
	secret, now := job.NewEndpointSecret(), time.Now()
	h, err := rookery.SignWebhook(secret, "1", now, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := rookery.VerifyWebhook(secret, "1", h["Webhook-Timestamp"], h["Webhook-Signature"], []byte("{}"), now); err != nil {
		t.Errorf("VerifyWebhook = %v, want nil", err)
	}
	if _, err := rookery.SignWebhook("canary", "1", now, nil); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("SignWebhook with a bad secret = %v, want an error without it", err)
	}
}
