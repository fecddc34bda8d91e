# Everything here runs on a fresh checkout; each target makes what it needs first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# FCM's library brings all of Google's; without gRPC the binary has 12 MB less.
TAGS := -tags disable_grpc_modules
# The race detector needs a C compiler; without one the tests run all the same.
RACE := $(if $(shell command -v cc 2>/dev/null),-race,)
NPM := npm --no-update-notifier
UI_SOURCES := $(shell find web/ui -type f -not -path '*/node_modules/*' -not -path '*/screenshots/*' 2>/dev/null)
GO_SOURCES := $(shell find . -name '*.go' -not -path './node_modules/*') $(wildcard migrations/*.sql web/apidocs/*) go.mod go.sum
INSTALLED := node_modules/.package-lock.json
PGDIST := store/pgdist/.packed

.PHONY: help run build ui test test-go test-ui test-browser chromium check lint vulnerabilities fmt bench faults clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## Build Parley and start it with its built-in PostgreSQL
	./bin/parley serve

build: bin/parley ## Build bin/parley with the interface and PostgreSQL inside

bin/parley: $(GO_SOURCES) web/dist/index.html $(PGDIST)
	CGO_ENABLED=0 go build $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o $@ .

ui: web/dist/index.html ## Build the interface into web/dist

web/dist/index.html: $(UI_SOURCES) $(INSTALLED)
	$(NPM) run build --workspace web/ui

# What npm brings: the interface's tools and PostgreSQL's binaries for this platform.
$(INSTALLED): package.json package-lock.json web/ui/package.json
	$(NPM) ci --ignore-scripts
	@touch $@

$(PGDIST): $(INSTALLED) $(wildcard store/pgpack/*.go)
	go run ./store/pgpack
	@touch $@

test: test-go test-ui test-browser ## Run every test there is, installing what it needs

test-go: build
	go vet $(TAGS) ./...
	go test $(TAGS) $(RACE) -timeout 15m ./...

test-ui: $(INSTALLED)
	$(NPM) run check --workspace web/ui
	$(NPM) test --workspace web/ui

test-browser: build chromium
	$(NPM) run size --workspace web/ui
	$(NPM) run browser --workspace web/ui

chromium: ## Install the browser that the browser tests drive, where it is missing
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core fonts-noto-color-emoji >/dev/null; \
	  else echo 'The browser tests need Chromium: install the package "chromium" (as root: make chromium).' >&2; exit 1; fi; }

check: lint vulnerabilities test ## Lint, look for known vulnerabilities, then test

lint: $(INSTALLED) web/dist/index.html ## Check style and common mistakes
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt would change:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go tool -modfile=tools/go.mod golangci-lint run ./...
	$(NPM) run check --workspace web/ui

# Findings fail. A database that cannot be reached does not: the line says that nothing was checked.
vulnerabilities: $(INSTALLED) web/dist/index.html $(PGDIST) ## Look for known vulnerabilities in what Parley is built from
	@out=$$(go tool -modfile=tools/go.mod govulncheck $(TAGS) ./... 2>&1) && echo 'Go: no known vulnerability is reachable.' || { code=$$?; \
	  case "$$code $$out" in *'fetching vulnerabilities'*) echo 'Go: NOT CHECKED, the database at vuln.go.dev cannot be reached.';; \
	  *) echo "$$out"; exit $$code;; esac; }
	@out=$$($(NPM) audit --audit-level=high 2>&1) && echo 'npm: no known vulnerability of level high or above.' || { code=$$?; \
	  case "$$out" in *'audit endpoint returned an error'*|*ENOTFOUND*|*EAI_AGAIN*|*ECONNREFUSED*|*ETIMEDOUT*) echo 'npm: NOT CHECKED, the registry does not answer audits.';; \
	  *) echo "$$out"; exit $$code;; esac; }

fmt: ## Format the Go code
	gofmt -w $$(git ls-files '*.go')

bench: build ## Measure messages a second, latency and CPU per message (about three minutes)
	go run ./bench -receipts

# SEED=7 repeats a run, SCALE=10 goes on ten times as long with each fault.
SEED ?= 0
SCALE ?= 1
faults: build ## Do every fault to real binaries under load, and write docs/RELIABILITY.md (about half an hour; root on Linux for all of them)
	go test ./faults -run TestReliability -count=1 -timeout 24h -v -args -long -seed=$(SEED) -scale=$(SCALE) -report=$(CURDIR)/docs/RELIABILITY.md

clean: ## Remove what was built (never data)
	rm -rf bin web/dist/* store/pgdist/* node_modules
