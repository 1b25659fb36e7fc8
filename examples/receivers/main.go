// Command receivers is a receiver of Rookery's push workers, in Go: WEBHOOK_SECRET and
// PORT say whose requests it takes, and where. Beside it are the same in Node and Python.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	wh, err := standardwebhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		panic("WEBHOOK_SECRET is needed")
	}
	var done sync.Map // yours: a table with the id as its key, written in the work's transaction
	panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil || wh.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized)
		} else if _, again := done.LoadOrStore(r.Header.Get("Webhook-Id"), true); !again {
			fmt.Printf("work %s\n", body)
		}
	})))
}
