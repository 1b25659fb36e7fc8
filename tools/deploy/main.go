// Command deploy checks what cannot be run on every machine: the Dockerfile by
// BuildKit's own parser, the compose file by Compose's loader, the chart by Helm's
// linter and engine, with what it renders decoded strictly as Kubernetes' own types.
// It asks no cluster and no daemon. It is a module of its own, because those bring
// hundreds of others along.
//
//	cd tools/deploy && go run . ../../deploy
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deploy FOLDER")
		os.Exit(2)
	}
	failed := false
	for _, check := range []struct {
		name string
		path string
		run  func(ctx context.Context, path string) []error
	}{
		{"Dockerfile", "Dockerfile", dockerfile},
		{"compose", "compose/compose.yaml", compose},
		{"chart", "helm/rookery", chart},
	} {
		path := filepath.Join(os.Args[1], check.path)
		errs := check.run(ctx, path)
		for _, err := range errs {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
		if len(errs) == 0 {
			fmt.Println("deploy:", check.name, "is sound")
		}
	}
	if failed {
		os.Exit(1)
	}
}
