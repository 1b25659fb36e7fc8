package job

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListing_Bind(t *testing.T) {
	t.Parallel()
	some := []string{"mail.*", "bills"}
	for _, tt := range []struct {
		in       Listing
		patterns []string
		want     Listing
		ok       bool
	}{
		{Listing{}, nil, Listing{}, true},
		{Listing{QueueName: "x"}, nil, Listing{QueueName: "x"}, true},
		{Listing{}, some, Listing{Queues: some}, true},
		{Listing{Queues: some}, some, Listing{Queues: some}, true},
		{Listing{Queues: []string{"x"}}, some, Listing{Queues: some}, true},
		{Listing{QueueName: "mail.out"}, some, Listing{QueueName: "mail.out"}, true},
		{Listing{QueueName: "mail.out", Queues: []string{"x"}}, some, Listing{QueueName: "mail.out"}, true},
		{Listing{QueueName: "mail"}, some, Listing{QueueName: "mail"}, false},
		{Listing{}, []string{"bills"}, Listing{QueueName: "bills"}, true},
		{Listing{}, []string{"bills*"}, Listing{Queues: []string{"bills*"}}, true},
	} {
		got, ok := tt.in.Bind(tt.patterns)
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("%+v.Bind(%q) = %t, want %t (-want +got):\n%s", tt.in, tt.patterns, ok, tt.ok, diff)
		}
		if again, _ := got.Bind(tt.patterns); !cmp.Equal(got, again) {
			t.Errorf("bound again %+v becomes %+v", got, again)
		}
	}
}

func TestListing_Within(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		l        Listing
		patterns []string
		want     bool
	}{
		{Listing{}, nil, true},
		{Listing{}, []string{"mail"}, false},
		{Listing{}, []string{"*"}, false}, // a filter of all queues names none
		{Listing{QueueName: "mail"}, []string{"mail"}, true},
		{Listing{QueueName: "mail"}, []string{"mail.*", "bills"}, false},
		{Listing{QueueName: "mail.out"}, []string{"mail.*"}, true},
		{Listing{QueueName: "bills", Queues: []string{"mail"}}, []string{"mail"}, false},
		{Listing{Queues: []string{"mail"}}, []string{"mail"}, true},
		{Listing{Queues: []string{"mail", "bills"}}, []string{"mail"}, false}, // not one of them: all of them
		{Listing{Queues: []string{"mail.*"}}, []string{"mail.*"}, true},
		{Listing{Queues: []string{"mail.out.*"}}, []string{"mail.*"}, true},
		{Listing{Queues: []string{"mail.*"}}, []string{"mail.out.*"}, false},
		{Listing{Queues: []string{"mail.*"}}, []string{"mail."}, false},
		{Listing{Queues: []string{"mail.*"}}, []string{"mail.a", "mail.b"}, false},
		{Listing{Queues: []string{"mail.a", "bills"}}, []string{"bills", "mail.*"}, true},
	} {
		if got := tt.l.Within(tt.patterns); got != tt.want {
			t.Errorf("%+v.Within(%q) = %t, want %t", tt.l, tt.patterns, got, tt.want)
		}
	}
}

func TestProcessState_Bind(t *testing.T) {
	t.Parallel()
	worker := ProcessState{ID: "w", Role: "worker", Queues: []string{"mail", "bills"}, Epochs: map[string]int64{"mail": 1, "bills": 2}, Slots: 5, Running: []Ref{{ID: 7}}, Leaked: 1}
	for _, tt := range []struct {
		what     string
		p        ProcessState
		patterns []string
		want     ProcessState
		ok       bool
	}{
		{"all", worker, nil, worker, true},
		{"every queue of it", worker, []string{"mail", "bills", "x"}, worker, true},
		{"one of its queues", worker, []string{"mail"}, ProcessState{ID: "w", Role: "worker", Queues: []string{"mail"}, Epochs: map[string]int64{"mail": 1}}, true},
		{"none of its queues", worker, []string{"x"}, ProcessState{}, false},
		{"a relay", ProcessState{ID: "r", Role: "relay", Epochs: map[string]int64{"mail": 1}}, []string{"mail"}, ProcessState{}, false},
		{"a worker over HTTP", ProcessState{ID: "c", Role: RoleClient, Queues: []string{"mail", "bills"}, Running: []Ref{{ID: 7}}}, []string{"mail"},
			ProcessState{ID: "c", Role: RoleClient, Queues: []string{"mail"}, Epochs: map[string]int64{}}, true},
		{"a worker over HTTP that asks for others' queues", ProcessState{ID: "c", Role: RoleClient, Queues: []string{"bills"}}, []string{"mail"}, ProcessState{}, false},
		{"a worker while Redis is away", ProcessState{ID: "w", Role: "worker", Epochs: map[string]int64{"mail": 1, "bills": 1}}, []string{"mail"},
			ProcessState{ID: "w", Role: "worker", Epochs: map[string]int64{"mail": 1}}, true},
	} {
		got, ok := tt.p.Bind(tt.patterns)
		if !tt.ok {
			got = ProcessState{} // what it is then says nothing
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || ok != tt.ok {
			t.Errorf("%s: Bind = %t, want %t (-want +got):\n%s", tt.what, ok, tt.ok, diff)
		}
	}
	if len(worker.Queues) != 2 || worker.Epochs["bills"] != 2 {
		t.Errorf("Bind changed what others read: %+v", worker)
	}
}
