package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		total, done int64
		want        string
	}{
		{0, 500, "\rpurge: 500 jobs\x1b[K"},
		{1000, 500, "\rpurge [###############...............] 500 of 1000\x1b[K"},
		{1000, 1200, "\rpurge [##############################] 1200 of 1000\x1b[K"}, // more than the look had found
	} {
		var b bytes.Buffer
		p := progress{out: &b, what: "purge", total: tt.total, shown: true}
		if p.show(tt.done); b.String() != tt.want {
			t.Errorf("show(%d) of %d = %q, want %q", tt.done, tt.total, b.String(), tt.want)
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
	p.show(1)
	p.clear()
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a file was drawn into: %d bytes, %v", info.Size(), err)
	}
}
