package rookery_test

import (
	"encoding/json"
	"strconv"
)

// callBulk gives every answer of the bulk API.
func (c *client) callBulk() {
	c.Helper()
	const bulk, purge, operations, one = "/v1/jobs/bulk", "/v1/queues/{name}/purge", "/v1/operations", "/v1/operations/{id}"
	c.call("bulk", "POST", bulk, bulk, `{"action":"cancel","ids":["1","4711"]}`, 200)
	c.call("bulk", "POST", bulk, bulk, `{"action":"delete","filter":{"status":"cancelled"},"dry_run":true}`, 200)
	c.call("bulk", "POST", bulk, bulk, `{"action":"redrive","filter":{"queue_name":"mail"}}`, 422)
	c.call("purgeQueue", "POST", purge, "/v1/queues/mail/purge", `{"confirm":"male"}`, 422)
	c.call("purgeQueue", "POST", purge, "/v1/queues/mail/purge", `{"confirm":"mail"}`, 202)
	var o struct{ ID int64 }
	text := c.call("bulk", "POST", bulk, bulk, `{"action":"cancel","filter":{"queue_name":"mail","kind":"k","created_after":"2026-01-01T00:00:00Z"}}`, 202)
	if err := json.Unmarshal(text, &o); err != nil || o.ID == 0 {
		c.Fatalf("answer %s has no id: %v", text, err)
	}
	at := operations + "/" + strconv.FormatInt(o.ID, 10)
	const quiet = "/v1/workers/{id}/quiet"
	c.call("quietWorker", "POST", quiet, "/v1/workers/w1/quiet", `{"quiet":true}`, 200)
	c.call("quietWorker", "POST", quiet, "/v1/workers/r1/quiet", `{"quiet":true}`, 404)
	c.call("quietWorker", "POST", quiet, "/v1/workers/w1/quiet", `{}`, 422)
	c.call("listOperations", "GET", operations, operations+"?limit=1", "", 200)
	c.call("getOperation", "GET", one, at, "", 200)
	c.call("getOperation", "GET", one, operations+"/4711", "", 404)
	c.call("cancelOperation", "POST", one+"/cancel", at+"/cancel", "", 200)
	c.call("cancelOperation", "POST", one+"/cancel", at+"/cancel", "", 409)
	c.call("cancelOperation", "POST", one+"/cancel", operations+"/4711/cancel", "", 404)
}
