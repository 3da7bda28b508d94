# Staticcheck is a tool, not a dependency: this is the version that checks us.
STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     = $(shell git describe --tags --always --dirty 2>/dev/null)

# The command line's package uses no templates then, and the linker drops what nobody calls: 3 MB.
TAGS = urfave_cli_no_template

# The race detector does not look into SQLite, which is C in Go, and the hash functions, which keep
# nothing: it would make them take three to ten times as long. Packages that call them are watched.
UNWATCHED = github.com/ncruces/go-sqlite3-wasm/... golang.org/x/crypto/...
test test-long: export GOFLAGS += $(UNWATCHED:%=-gcflags=%=-race=false)

# The tests of e2e/ wait for other processes half of the time.
TWICE_CORES = $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

.PHONY: run quick test test-long check bench soak fuzz build

run: build ## start on localhost:8000; not by go run, which fails on Ctrl-C
	@exec ./latchkey

quick: ## under 15 seconds: the root's tests without PostgreSQL
	go test -short .

test: ## about three minutes; says what it skips for want of time, a browser or a database
	go test -race -shuffle=on
	go -C e2e test -race -shuffle=on -parallel $(TWICE_CORES)
	go -C e2e test -count 1 ./figures

test-long: ## outages, floods, slow clients, soaks and long races too
	LONG=1 go test -race -shuffle=on -run 'TestLastEventWins|TestFamiliarLooksStrange|TestHashesOfOthers|TestPasslibHashes' .
	LONG=1 go -C e2e test -race -shuffle=on -timeout 30m

check: ## what a reviewer need not look for
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "gofmt would change these files"; exit 1; }
	go vet ./... && go -C e2e vet ./... && go -C e2e/manifests vet . && go -C e2e/peers vet . && go -C examples/go vet ./... && GOARCH=386 go vet . # where an int has 32 bits
	go fix -diff ./... && go -C e2e fix -diff ./... && go -C examples/go fix -diff ./...
	$(STATICCHECK) ./... && (cd e2e && $(STATICCHECK) ./...) && cd examples/go && $(STATICCHECK) ./...
	go mod tidy -diff && go -C e2e mod tidy -diff && go -C e2e/manifests mod tidy -diff && go -C e2e/peers mod tidy -diff && go -C examples/go mod tidy -diff

bench: ## measures the figures of docs/benchmarks.md, side by side, and draws them; BENCH=Flood only prints those
ifdef BENCH
	go -C e2e test -run '^$$' -bench '$(BENCH)' -benchtime 1x -v -timeout 90m .
else
	go -C e2e run ./figures measure pictures others
endif

.PHONY: pictures pictures-again bench-peers
pictures: ## measures what is drawn, in about twelve minutes
	go -C e2e run ./figures measure pictures

pictures-again: ## draws without measuring
	go -C e2e run ./figures draw

bench-peers: ## beside the original in Python, and PocketBase; needs python3 with venv, PyPI and the Go module proxy
	go -C e2e run ./figures measure peers

SOAK ?= 10m
soak: ## memory, descriptors and goroutines under mixed traffic, for as long as SOAK says
	LONG=1 SOAK=$(SOAK) go -C e2e test -run '^TestSoak$$' -v -count 1 -timeout 60m .

fuzz: ## every fuzz target for a minute
	@for target in $$(go test -list '^Fuzz' . | grep '^Fuzz'); do \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime 60s . || exit 1; done

CLIENT_TOOLS ?= $(HOME)/.cache/latchkey-clients
.PHONY: clients
clients: ## generators, OAuth and JWT libraries, examples, Caddy, Postman and linters; needs Node 20.19, Python, Java and Maven
	e2e/clients/install.sh $(CLIENT_TOOLS)
	CLIENT_TOOLS=$(CLIENT_TOOLS) LONG=1 go -C e2e test -run '(Clients|Examples)$$' -count 1 .

HASH_PRODUCERS ?= $(HOME)/.cache/latchkey-producers
.PHONY: hashes
hashes: ## of Django, PHP, Rails, Spring …, made now, and moving in; UPDATE=1 adds new schemes to testdata/hashes.json
	e2e/producers/install.sh $(HASH_PRODUCERS)
	HASH_PRODUCERS=$(HASH_PRODUCERS) go test -run '^TestHashesOfProducers$$' -count 1 .
	HASH_PRODUCERS=$(HASH_PRODUCERS) go -C e2e test -run '^TestMovingIn$$' -count 1 .

build: ## one static binary
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags '-s -w -X main.version=$(VERSION)' -o latchkey .
