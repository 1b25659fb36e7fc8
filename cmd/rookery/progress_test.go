package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/penguinmails/rookery/job"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	total, half, all, third := int64(1000), 0.5, 1.0, 0.337
	for _, tt := range []struct {
		o    job.Operation
		want string
	}{
		{job.Operation{Matched: 500}, "\rpurge: 500 jobs\x1b[K"},
		{job.Operation{Matched: 500, Total: &total, Share: &half}, "\rpurge [###############...............] 500 of 1000\x1b[K"},
		{job.Operation{Matched: 1200, Total: &total, Share: &all}, "\rpurge [##############################] 1200 of 1000\x1b[K"}, // more than were there
		{job.Operation{Matched: 500, Share: &third}, "\rpurge [##########....................] 33 % of all ids, 500 jobs\x1b[K"},
	} {
		var b bytes.Buffer
		p := progress{out: &b, what: "purge", shown: true}
		if p.show(tt.o); b.String() != tt.want {
			t.Errorf("show(%+v) = %q, want %q", tt.o, b.String(), tt.want)
		}
	}
}

func TestProgress_OnATerminalOnly(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	p := newProgress(f, "purge")
	p.show(job.Operation{Matched: 1})
	p.clear()
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a file was drawn into: %d bytes, %v", info.Size(), err)
	}
}
