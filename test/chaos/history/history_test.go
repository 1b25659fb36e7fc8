package history

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead_SkipsHalfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	log, err := Open(path, "w1")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Note(Act{Word: Started, Key: "a", ID: 1}); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	half := strings.TrimSpace(string(whole))[:40] // its writer was killed
	if err := os.WriteFile(path, []byte(string(whole)+"\n"+half), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := log.Note(Act{Word: Finished, Key: "a", ID: 1}); err != nil {
		t.Fatal(err)
	}
	acts, err := Read(path)
	if err != nil || len(acts) != 2 || acts[0].Word != Started || acts[1].Word != Finished {
		t.Fatalf("Read = %+v, %v, want started and finished", acts, err)
	}
	if a := acts[0]; a.Proc != "w1" || a.PID != os.Getpid() || a.Mono <= 0 || a.Mono > acts[1].Mono || a.Wall <= 0 {
		t.Errorf("Note filled in %+v, want its process and both clocks", a)
	}
}

func TestRead_OfNothingIsEmpty(t *testing.T) {
	acts, err := Read(filepath.Join(t.TempDir(), "none"))
	if err != nil || acts != nil {
		t.Errorf("Read = %v, %v, want nothing", acts, err)
	}
}
