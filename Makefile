# tapkeeper: `make` lists what there is. Needed beforehand: Go, git, make.
# Everything else is installed by .ci/need where that is possible.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL = /bin/sh
export LC_ALL = C.UTF-8

ifeq ($(shell command -v go),)
$(error Go is not in PATH: install it from https://go.dev/dl/)
endif

# The go tool keeps its caches under HOME; some CI runners have none. The name
# begins with a dot so that ./... does not look into it.
ifeq ($(strip $(HOME)),)
export HOME := $(CURDIR)/bin/.home
endif

# A checkout owned by another user (CI, containers) must build too, also where a
# test builds a program: git refuses to answer there, and the go tool gives up.
export GOFLAGS := $(filter-out -buildvcs%,$(shell go env GOFLAGS)) -buildvcs=false

READER ?= virtual
TIME ?= 10m
SEED ?= 1
TAPS ?= 300
DRAIN ?= 100000

# A real reader needs C: scard links against libpcsclite.
CGO_PARTS = gcc libc6-dev pkg-config libpcsclite-dev
# What some tests are run against; without it they skip, under CI they fail.
REAL_PARTS = pcscd vsmartcard-vpcd mosquitto systemd postgresql nodejs swtpm
# 1 where C code can be compiled and linked, else 0 and everything but reader/pcsc.
CGO = $$(.ci/need -check $(CGO_PARTS) && echo 1 || echo 0)
# A whole store under chaos, without the race detector: it multiplies the processor
# time, and what would then fail is the clock. The same code runs raced elsewhere.
STORE = ./lane/endtoend
# Packages whose benchmarks print the figures of docs/results.md.
BENCH = ./emv/... ./queue/... ./reader/... ./uplink/... ./terminal/... ./lane/... ./wallet/backend/...

.PHONY: help demo test quick bench soak lint build stories need

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: ## a whole store in one command; READER=pcsc taps on a real pcscd, READER=pn532 on a serial one; READER=zvt takes cards
ifeq ($(READER),pcsc)
	@$(MAKE) --no-print-directory pcsc
	@bin/pcsc/tapdemo -reader pcsc
else
	@mkdir -p bin
	@CGO_ENABLED=0 go build -o bin/ ./cmd/tapkeeper ./cmd/tapdemo
	@bin/tapdemo -reader $(READER)
endif

test: need lint ## everything: lint, all tests under the race detector, both demo stories
	@if [ $(CGO) = 1 ]; then \
		CGO_ENABLED=1 go test -race -shuffle=on -timeout 20m $$(go list ./... | grep -v $(STORE:.%=%)); \
	else \
		echo "test: WITHOUT the race detector and reader/pcsc: no C compiler or no libpcsclite (see above)"; \
		CGO_ENABLED=0 go test -shuffle=on -timeout 20m $$(go list ./... | grep -v $(STORE:.%=%)); \
	fi
	@CGO_ENABLED=$(CGO) go test $(STORE)
	@$(MAKE) --no-print-directory stories

quick: ## under two minutes: gofmt, vet, short tests
	@$(MAKE) --no-print-directory format
	@CGO_ENABLED=$(CGO) go vet ./...
	@CGO_ENABLED=$(CGO) go test -short ./...

lint: format ## gofmt, vet, staticcheck, govulncheck
	@CGO_ENABLED=$(CGO) go vet ./...
	@CGO_ENABLED=$(CGO) go tool staticcheck ./...
	@CGO_ENABLED=$(CGO) .ci/vuln

bench: ## the figures of docs/results.md, on this machine
	@CGO_ENABLED=$(CGO) TAPKEEPER_DRAIN=$(DRAIN) go test -run '^$$' -bench . -benchmem -timeout 60m $(BENCH)
	@mkdir -p bin
	@CGO_ENABLED=0 go build -o bin/ ./cmd/tapkeeper ./cmd/tapdemo
	@bin/tapdemo -taps $(TAPS)

soak: ## long fuzz and crash loops: make soak TIME=10m SEED=1
	@CGO_ENABLED=$(CGO) .ci/soak $(TIME) $(SEED)

build: ## all programs into bin/
	@mkdir -p bin
	@CGO_ENABLED=$(CGO) go build -trimpath -o bin/ ./cmd/...

.PHONY: cross
cross: ## the daemon for arm64 and armhf, with PC/SC and without, into bin/cross
	@.ci/cross

need:
	@.ci/need $(CGO_PARTS) $(REAL_PARTS)

stories:
	@$(MAKE) --no-print-directory demo
	@bin/tapdemo -reader pn532
	@bin/tapdemo -reader zvt
	@if [ "$${CI:-}" != true ] && ! .ci/need -check $(CGO_PARTS) pcscd vsmartcard-vpcd; then \
		echo "test: the demo on a real pcscd SKIPPED: packages are missing (see above)"; \
	else \
		$(MAKE) --no-print-directory pcsc || exit 1; \
		bin/pcsc/tapdemo -reader pcsc; status=$$?; \
		if [ $$status = 69 ] && [ "$${CI:-}" != true ]; then \
			echo "test: the demo on a real pcscd SKIPPED: this machine gives none a mount namespace of its own (see above)"; \
		else exit $$status; fi; \
	fi

.PHONY: pcsc
pcsc:
	@.ci/need -must $(CGO_PARTS) pcscd vsmartcard-vpcd
	@mkdir -p bin/pcsc
	@CGO_ENABLED=1 go build -o bin/pcsc/ ./cmd/tapkeeper ./cmd/tapdemo

.PHONY: format
format:
	@files=$$(gofmt -l $$(find . -name '*.go' -not -path './bin/*')); \
	if [ -n "$$files" ]; then echo "not gofmt'd (run gofmt -w):"; echo "$$files"; exit 1; fi
