package devstack

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are drawn from below the range from which Linux takes the local ports of
// outgoing connections (32768 on), so that none of those sits on a server's port
// while the server restarts.
const firstPort, lastPort = 15_000, 32_000

// freePort returns a port on which nobody listens now. Somebody may at any later
// moment: whoever binds it must be ready to draw again.
func freePort(ctx context.Context) (int, error) {
	for range 100 {
		if port := firstPort + rand.IntN(lastPort-firstPort); portFree(ctx, port) {
			return port, nil
		}
	}
	return 0, errors.New("no free port on 127.0.0.1")
}

func portFree(ctx context.Context, port int) bool {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
