# Every target sets up what it needs by itself: Go and gcc are all a machine must
# have. `make` alone lists the targets.

TOOL := go tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: help demo dev build generate fmt lint lint-format lint-vet lint-code lint-sql test test-short bench chaos chaos-short chaos-marathon soak model servers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: servers build ## mail a campaign through servers that are being shot at, and count
	bin/campaign

dev: servers build ## the same, left running to play with
	bin/campaign -dev

build: ## bin/rookery and bin/campaign
	@mkdir -p bin
	go build -o bin/ ./cmd/rookery ./examples/campaign

generate: ## db/internal/query from queries/*.sql
	$(TOOL) sqlc generate

fmt: ## gofmt everything
	gofmt -w .

lint: lint-format lint-vet lint-code lint-sql ## gofmt, go vet, golangci-lint, sqlc diff

lint-format:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not gofmt-ed, run make fmt:"; echo "$$files"; exit 1; fi

lint-vet:
	go vet ./...

lint-code:
	$(TOOL) golangci-lint run

lint-sql:
	$(TOOL) sqlc diff

test: servers ## every test, with the race detector, on real servers of its own
	go test -race -count=1 -timeout 20m ./...

test-short: servers ## the quick tests, without the race detector
	go test -short -timeout 5m ./...

bench: servers ## Go's benchmarks
	go test -run '^$$' -bench . -benchmem ./...

soak: servers ## twenty minutes of steady load, in which nothing may grow
	ROOKERY_SOAK=$(or $(SOAK),20m) go test -count=1 -v -run TestFlat_OverTime -timeout 60m ./test/e2e

model: ## search the whole state space of the protocol (make test does a part of it)
	go test -count=1 -v -run 'TestProtocol|TestWindow|TestDoc|TestRules' -timeout 10m ./test/model

# SEED=n repeats a run, RUNS, PARALLEL and ONLY=fault,family choose; the machine
# should have nothing else to do.
CHAOS := go run ./test/chaos -parallel $(or $(PARALLEL),6) $(if $(SEED),-seed $(SEED)) $(if $(ONLY),-only $(ONLY))

chaos: ## every fault of the matrix 20 times, as a table in chaos.md (hours)
	$(CHAOS) -runs $(or $(RUNS),20) -o chaos.md

chaos-short: ## one run of some faults of each family, in at most 4 minutes
	$(CHAOS) -short -runs $(or $(RUNS),1)

chaos-marathon: ## a thousand kills of relays, and of workers
	$(CHAOS) -only marathon

servers: # installs Postgres and Redis where they are missing
	@go run ./internal/devstack/install

clean: ## remove what was built
	rm -rf bin
