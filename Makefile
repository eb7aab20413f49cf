# Bare `make` prints the targets. `make run` needs Go and make only; `make test`
# fetches what else it needs into build/ (ignored) and through apt-get.

GO            ?= go
GOLANGCI      := v2.15.0
FUZZTIME      ?= 3s
TIMEOUT       ?= 10m
DATA          ?= ./carillon-data
export CARILLON_BUILD ?= $(CURDIR)/build

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
BIN     := bin/carillon
PEERS   := build/bin/peers
PUSHY   := build/pushy
LINT    := build/bin/golangci-lint-$(GOLANGCI)

# Counts the packages that `go build -v` names, shows everything else, and ends as
# the build did.
PROGRESS = /^exit=/ { code = substr($$0, 6); next } \
	/^go: downloading / { if (++d % 20 == 0) { print "    " d " modules fetched"; fflush() }; next } \
	/^[A-Za-z0-9._~\/-]+$$/ { if (++n % 50 == 0) { print "    " n " packages compiled"; fflush() }; next } \
	{ print; fflush() } END { exit code }

.DEFAULT_GOAL := help
.PHONY: help build run demo test unit acceptance torture bench bench-h2 bench-quick lint fmt fuzz gen deps deps-go clean

help: ## print the targets
	@echo 'Carillon: one keyboard, every bell.'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: deps-go ## build bin/carillon
	@echo '==> building $(BIN) (minutes the first time, seconds later on)'
	@mkdir -p bin
	@{ $(GO) build -v -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(BIN) ./cmd/carillon 2>&1; echo "exit=$$?"; } | awk '$(PROGRESS)'

run: build ## build, start everything with a demo user, ring three devices, serve until Ctrl-C
	@echo '==> starting'
	@exec $(BIN) demo --stay --data $(DATA)

demo: build ## the same on a throw-away directory; exits 0 when it rang, 1 when not
	@$(BIN) demo --ephemeral

test: deps ## all checks: lint, unit tests with -race, short fuzz, acceptance; a table of times
	@MAKE='$(MAKE)' scripts/stages.sh lint build unit fuzz acceptance

unit: deps-go ## unit tests with -race
	@echo '==> unit tests (-race)'
	@$(GO) test -race -timeout $(TIMEOUT) $$($(GO) list ./... | grep -v '/acceptance')
	@cd bench/peers && $(GO) vet .

acceptance: build deps ## real processes: real Kafka, Microsoft's Graph client, kill -9
	@scripts/acceptance.sh

torture: build ## 5,000 random households against the binary, killed meanwhile (200 in make test); 10 minutes
	@CARILLON_SEQUENCES=$${CARILLON_SEQUENCES:-5000} ACCEPTANCE_TIMEOUT=60m RUN=TestNothingResurrects scripts/acceptance.sh

bench: build $(PEERS) ## W1: notifications a second, µs by stage, ratio to an apns2 loop (BENCH="--rounds 1 …")
	@$(BIN) bench --peer $(PEERS) $(BENCH)

bench-h2: build $(PEERS) $(PUSHY)/PushyLoop.class ## our HTTP/2 engine beside h2load, Pushy, apns2, http2.Transport (BENCH="--rounds 3 …")
	@scripts/need.sh java h2load nghttpd
	@$(BIN) bench h2 --peers $(PEERS) --pushy '$(PUSHY)/libs/*:$(PUSHY)' --h2load h2load --out build/bench-h2.txt $(BENCH)
	@echo '==> the rounds for benchstat -col /tool: build/bench-h2.txt'

$(PUSHY)/PushyLoop.class: bench/peers/pushy/pom.xml bench/peers/pushy/PushyLoop.java
	@scripts/need.sh javac mvn
	@echo '==> fetching and building the Pushy loop'
	@mkdir -p $(PUSHY)
	@mvn -B -q -f bench/peers/pushy/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(PUSHY)/libs
	@javac -cp '$(PUSHY)/libs/*' -d $(PUSHY) bench/peers/pushy/PushyLoop.java

$(PEERS): $(wildcard bench/peers/*.go bench/peers/go.*)
	@echo '==> building the peers that are measured beside it'
	@mkdir -p build/bin
	@cd bench/peers && $(GO) build -trimpath -buildvcs=false -o $(CURDIR)/$@ .

bench-quick: ## the Go benchmarks of every room, briefly
	@$(GO) test -run '^$$' -bench . -benchtime 200ms -benchmem ./...

lint: $(LINT) ## golangci-lint with .golangci.yml
	@echo '==> lint'
	@$(LINT) run ./...

fmt: $(LINT) ## rewrite the sources as the linter wants them
	@$(LINT) fmt ./...

fuzz: deps-go ## every fuzz target for FUZZTIME each (3s; CI 10s)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

gen: ## regenerate what is generated
	@$(GO) generate ./...

deps: ## check the tools that the tests need, install missing ones (Debian, root)
	@scripts/need.sh go git gcc java javac mvn node npm nghttpd chromium-headless-shell python3

deps-go:
	@command -v $(GO) >/dev/null || { echo 'go is missing: install the Go that go.mod names, or newer, from https://go.dev/dl/ and put it on the PATH' >&2; exit 1; }

clean: ## remove what was built (not carillon-data)
	@rm -rf bin build
	@$(GO) clean -testcache

$(LINT):
	@echo '==> building golangci-lint $(GOLANGCI) into build/bin (once)'
	@mkdir -p build/bin
	@GOBIN=$(CURDIR)/build/bin GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@mv build/bin/golangci-lint $@
