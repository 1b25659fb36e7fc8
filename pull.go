package rookery

import (
	"fmt"
	"os"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/pull"
	"github.com/penguinmails/rookery/workers"
)

// puller returns what hands jobs to workers that ask for them over HTTP.
func (s *Service) puller() (*pull.Hub, error) {
	host, _ := os.Hostname() // for people; "" is fine
	return pull.New(s.store, s.handing, pull.Options{
		ID: fmt.Sprintf("pull-%s-%d-%x", host, os.Getpid(), job.NewDispatchID()&0xffffff), Registerer: s.registry, Logger: s.log,
	})
}

// handing returns a worker of one queue that hands every job to h, for as long as h likes.
func (s *Service) handing(queue string, h workers.Handler, o workers.Options) (*workers.Worker, error) {
	registry := workers.NewRegistry()
	registry.HandleQueue(queue, h, workers.HandlerOptions{Timeout: -1})
	return s.Worker(registry, o)
}

// callbacks returns what takes the word of receivers that push workers have asked.
func (s *Service) callbacks(h *pull.Hub) *pull.Callbacks { return pull.NewCallbacks(h, s.store) }
