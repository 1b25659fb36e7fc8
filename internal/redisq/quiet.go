package redisq

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Quiet ends go-redis' own log lines in this process: it prints each dial that
// fails, and every such failure comes back as an error that its caller logs once.
// The switch is the library's, and global: only a program's main may use it.
func Quiet() { redis.SetLogger(silent{}) }

type silent struct{}

// Printf drops what the library says.
func (silent) Printf(context.Context, string, ...any) {}
