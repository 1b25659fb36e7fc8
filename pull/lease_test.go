package pull

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/penguinmails/rookery/job"
	"github.com/penguinmails/rookery/workers"
)

// What a server holds in Postgres it puts back when its client is silent: not before the
// client can have been sent here by the other one that has it.
func TestHeldGrace_IsWhatTheOtherHolderNeeds(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{job.MinLeaseTime, job.DefaultLeaseTime, time.Minute, job.MaxLeaseTime} {
		knows, beats := 2*job.Beat, length/3 // the other; the client
		if got := heldGrace(length); got <= knows+beats {
			t.Errorf("heldGrace(%s) = %s, want more than %s", length, got, knows+beats)
		}
	}
}

// Who was promised five minutes beats every hundred seconds, and is waited for as long.
func TestHeldGrace_IsOfTheLongestThatWasAskedFor(t *testing.T) {
	t.Parallel()
	h, err := New(&truth{}, nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.enter("q", &waiter{max: 1, lease: time.Minute, filled: make(chan struct{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l := d.hand(&workers.Job{Envelope: job.Envelope{ID: 1, DispatchID: 7}})
	for _, ask := range []time.Duration{0, 5 * time.Minute, 30 * time.Second} {
		if _, err := h.extendHere(l.name, ask); err != nil {
			t.Fatal(err)
		}
	}
	if l.span != 5*time.Minute {
		t.Errorf("after extensions of a minute, 5 minutes and 30 s the grace is of %s, want of 5m", l.span)
	}
}

// A lease that ends neither by its client's word nor by Postgres' leaves the job alone,
// unless it was called off: another server may have it.
func TestLease_WhatEndsByItselfIsLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cause    error
		extended bool
		age      time.Duration
		want     error
	}{
		{job.ErrLeaseLost, false, 0, workers.ErrAbandoned},
		{job.ErrLeaseLost, true, 0, workers.ErrAbandoned},
		{job.ErrShutdown, true, 0, workers.ErrAbandoned},
		{job.ErrShutdown, false, 0, job.ErrShutdown},
		{job.ErrShutdown, false, 20 * time.Second, workers.ErrAbandoned}, // it should have been heard: elsewhere
		{job.ErrCancelled, true, 20 * time.Second, job.ErrCancelled},
	} {
		h, err := New(&truth{}, nil, Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := &waiter{max: 1, lease: time.Minute, filled: make(chan struct{}, 1)}
		d, err := h.enter("q", w)
		if err != nil {
			t.Fatal(err)
		}
		l := d.hand(&workers.Job{Envelope: job.Envelope{ID: 1, DispatchID: 7}})
		l.extended, l.begun = c.extended, l.begun.Add(-c.age)
		ctx, end := context.WithCancelCause(t.Context())
		end(c.cause)
		if got := l.live(ctx); !errors.Is(got, c.want) {
			t.Errorf("a lease of %s that ended by %q, extended %t, returns %v, want %v", c.age, c.cause, c.extended, got, c.want)
		}
	}
}
