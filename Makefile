# Every target sets up what it needs by itself: Go and gcc are all a machine must
# have. `make` alone lists the targets.

TOOL := go tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: help demo dev build generate docs fmt lint lint-format lint-vet lint-code lint-sql alerts test test-short bench bench-short bench-gate bench-go bench-lint bench-test bench-node release deploy-lint openapi-lint chaos chaos-short chaos-marathon soak model ui-test ui-times servers clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: servers build ## mail a campaign through servers that are being shot at, and count
	bin/campaign

dev: servers build ## the same, left running to play with
	bin/campaign -dev

build: ## bin/rookery and bin/campaign
	@mkdir -p bin
	go build -o bin/ ./cmd/rookery ./examples/campaign

generate: ## db/internal/query from queries/*.sql, alerts and dashboard from deploy/observability
	$(TOOL) sqlc generate
	go generate ./deploy/observability

alerts: ## what the alerts do, tested by Prometheus' own promtool
	scripts/promtool check rules deploy/observability/alerts.yml
	scripts/promtool test rules deploy/observability/alerts_test.yml

docs: ## docs/cli.md and docs/man from the program's commands
	go test ./cmd/rookery -run TestDocs_AreUpToDate -count=1 -update

fmt: ## gofmt everything
	gofmt -w .

lint: lint-format lint-vet lint-code lint-sql ## gofmt, go vet, golangci-lint, sqlc diff

lint-format:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not gofmt-ed, run make fmt:"; echo "$$files"; exit 1; fi

lint-vet:
	go vet ./...

lint-code:
	$(TOOL) golangci-lint run --allow-serial-runners

lint-sql:
	$(TOOL) sqlc diff

test: servers ## every test, with the race detector, on real servers of its own
	go test -race -count=1 -timeout 20m ./...

test-short: servers ## the quick tests, without the race detector
	go test -short -timeout 5m ./...

# bench/ is a module of its own. run says so when it has to leave out what is written
# for Node.
BENCH := cd bench && go run .

bench: servers bench-node ## Rookery beside other queues, all workloads, tables and plots (hours)
	$(BENCH) run
	$(BENCH) report

bench-short: servers bench-node ## a taste of each workload, in at most 5 minutes
	$(BENCH) short

bench-gate: servers ## what a job costs where it can be counted exactly, against ceilings
	$(BENCH) gate

bench-go: servers ## Go's benchmarks
	go test -run '^$$' -bench . -benchmem ./...

bench-lint: ## golangci-lint in bench
	cd bench && go tool -modfile=../tools/go.mod golangci-lint run --allow-serial-runners

bench-test: servers ## go vet and the tests of bench
	cd bench && go vet ./... && go test ./...

bench-node: $(if $(and $(shell command -v node),$(shell command -v npm)),bench/node/node_modules/.package-lock.json)

bench/node/node_modules/.package-lock.json: bench/node/package-lock.json
	cd bench/node && npm ci --no-audit --no-fund --loglevel=error

ui-test: servers test/ui/node_modules/.package-lock.json ## the dashboard in a real browser; writes docs/screenshots, or SCREENSHOTS/
	@command -v chromium >/dev/null || test -n "$$CHROMIUM" || { apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; }
	node test/ui/run.mjs

ui-times: servers ## how long each page of the dashboard takes with 10 million jobs (minutes; JOBS, DIR keeps them)
	go run ./test/uipages -jobs $(or $(JOBS),10000000) $(if $(DIR),-dir $(DIR))

test/ui/node_modules/.package-lock.json: test/ui/package-lock.json
	cd test/ui && npm ci --no-audit --no-fund --loglevel=error

openapi-lint: build tools/openapi/node_modules/.package-lock.json ## lint the API's OpenAPI document
	bin/rookery openapi >bin/openapi.json
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true tools/openapi/node_modules/.bin/redocly lint --config tools/openapi/redocly.yaml bin/openapi.json

tools/openapi/node_modules/.package-lock.json: tools/openapi/package-lock.json
	@command -v npm >/dev/null || { echo "openapi-lint: npm is missing: apt-get install npm" >&2; exit 1; }
	cd tools/openapi && npm ci --no-audit --no-fund --loglevel=error

release: ## static binaries for linux and darwin, with SHA256SUMS, in dist/ (VERSION, PLATFORMS)
	scripts/release

deploy-lint: ## check deploy/ and the scripts, which cannot all be run here
	scripts/deploy-lint

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
	rm -rf bin dist
