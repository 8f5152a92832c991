# Every target works on a clean clone with Go and, for what needs it, apt.
.PHONY: test lint race conformance bench bench-peers bench-docs bench-stats fuzz demo build

FUZZTIME ?= 30s

test: lint ## everything: static checks, tests, race detector
	scripts/install-test-apps
	go test ./...
	go test -race -short ./...

lint: ## formatting, vet, staticcheck, a tidy go.mod
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff
	cd scripts && go vet ./... && go mod tidy -diff

conformance: ## h2spec, slowhttptest, toxiproxy, go-httpbin, curl, nghttp and testssl.sh on the proxy
	scripts/conformance.sh

bench: ## every benchmark, on fetched pages too, and the table of docs/benchmarks.md
	scripts/bench-pages
	go test -run '^$$' -bench . -benchmem -timeout 0 ./...

bench-peers: ## the rewriter against Cloudflare's inside workerd, the proxy against nginx, Go's, Caddy and workerd
	scripts/bench-peers

bench-docs: ## measures anew and refreshes the tables of docs/benchmarks.md
	scripts/bench-docs

bench-stats: ## how often the statistics err and how soon they find, beside others: the tables of docs/statistics.md
	go test -count=1 -timeout 30m -run Characteristics -v ./outcomes -characteristics 2000

fuzz: ## every fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME)

demo: ## the loop on this machine
	go run ./cmd/refract demo

# The same commit and Go give the same bytes, in whatever directory.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

build: ## the static binary of the Dockerfile
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o bin/refract ./cmd/refract
