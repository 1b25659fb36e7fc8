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
		"ROOKERY_CALLBACK_URL": "https://rookery.example/base/",
	}))
	if want := "{true true [80 3000] [10.1.0.0/16 fd00:1::/32] https://rookery.example/base/}"; err != nil || fmt.Sprint(c.Push) != want {
		t.Errorf("LoadConfig = %v, %v, want %s", c.Push, err, want)
	}
	for name, values := range map[string][]string{
		"ROOKERY_PUSH":                {"yes", "on"},
		"ROOKERY_PUSH_ALLOW_HTTP":     {"https"},
		"ROOKERY_PUSH_ALLOW_PORTS":    {"0", "65536", "-1", "80-90", "http"},
		"ROOKERY_CALLBACK_URL":        {"rookery.example", "/v1", "ftp://a.example", "https://u:p@a.example", "https://a.example?x=1", "https://a.example#x"},
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

// endpoints calls every route of endpoints.
func (c *client) endpoints() {
	c.Helper()
	const pattern, target = "/v1/queues/{name}/endpoint", "/v1/queues/mail/endpoint"
	c.call("getEndpoint", "GET", pattern, target, "", 404)
	c.call("deleteEndpoint", "DELETE", pattern, target, "", 404)
	c.call("testEndpoint", "POST", pattern+"/test", target+"/test", "", 404)
	c.call("rotateEndpointSecret", "POST", pattern+"/rotate", target+"/rotate", "", 404)
	for _, url := range []string{"http://a.example", "https://127.0.0.1", "https://a.example:22"} {
		c.call("putEndpoint", "PUT", pattern, target, `{"url":"`+url+`"}`, 422)
	}
	made := string(c.call("putEndpoint", "PUT", pattern, target, `{"url":"https://a.invalid/x","rate_per_second":0.5}`, 201))
	set := string(c.call("putEndpoint", "PUT", pattern, target, `{"url":"https://b.invalid/x","max_in_flight":2}`, 200))
	if strings.Count(made, "whsec_") != 1 || strings.Contains(set, "whsec_") || !strings.Contains(set, `"rate_per_second":0,`) {
		c.Errorf("PUT = %s and then %s, want a secret once, and what was left out at its default", made, set)
	}
	c.call("getEndpoint", "GET", pattern, target, "", 200)
	rotated := string(c.call("rotateEndpointSecret", "POST", pattern+"/rotate", target+"/rotate?keep_old_seconds=60", "", 200))
	if !strings.Contains(rotated, "whsec_") || strings.Contains(made, rotated[strings.Index(rotated, "whsec_"):len(rotated)-3]) {
		c.Errorf("rotate = %s, want a new secret", rotated)
	}
	if came := string(c.call("testEndpoint", "POST", pattern+"/test", target+"/test", "", 200)); !strings.Contains(came, `"delivered":false`) {
		c.Errorf("test = %s, want it not delivered: no name ends in .invalid", came)
	}
	c.call("deleteEndpoint", "DELETE", pattern, target, "", 204)
	lines := string(c.call("listAudit", "GET", "/v1/audit", "/v1/audit", "", 200))
	if strings.Contains(lines, "whsec_") {
		c.Errorf("the audit = %s, which has a secret", lines)
	}
	for _, action := range []string{"endpoint.set", "endpoint.rotate", "endpoint.test", "endpoint.delete"} {
		if !strings.Contains(lines, action) {
			c.Errorf("the audit = %s, want %s in it", lines, action)
		}
	}
}
