package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Facts are what a result must say of where it comes from.
type Facts struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Memory   string `json:"memory"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Postgres string `json:"postgres"`
	Redis    string `json:"redis"`
	Node     string `json:"node"`
	Commit   string `json:"commit"`
	Load     string `json:"load"` // before the first run
}

// Machine asks the machine what it is. What it does not say stays empty.
func Machine(ctx context.Context) (Facts, error) {
	say := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	field := func(file, key string) string {
		data, _ := os.ReadFile(file)
		for row := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(row, ":"); ok && strings.TrimSpace(name) == key {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	load, _ := os.ReadFile("/proc/loadavg")
	f := Facts{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: field("/proc/meminfo", "MemTotal"),
		Kernel: say("uname", "-r"), Go: runtime.Version(), Node: say("node", "--version"), Redis: say("redis-server", "--version"),
		Commit: say("git", "rev-parse", "--short", "HEAD"), Load: strings.TrimSpace(string(load)),
	}
	if say("git", "status", "--porcelain") != "" {
		f.Commit += " and changes"
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		f.Postgres = say(found[len(found)-1], "--version")
	}
	return f, ctx.Err()
}
