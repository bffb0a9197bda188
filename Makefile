SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Each module by itself, as it is published; go.work is for whoever develops.
export GOWORK := off

TOOL := go tool -modfile=tools/go.mod
GOOSE := $(TOOL) goose -dir schema -table schema_version sqlite3
# What must be covered, and by how much. Generated code is left out.
COVERED := ./internal/arguments,./internal/bridge,./internal/lane,./internal/nodes,./internal/page,./internal/plans,./internal/scan,./internal/sqlite,./internal/tap,./internal/terminal,./internal/watch,./internal/wire,./dberr,./dqlite,./migrate,./native,./pool,./pool/debug,./pooltest,./repo,./schema,./cmd/repogen,./cmd/sqlane
COVERAGE := 95
GENERATED := gen repo/repo_gen.go

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | column -t -s '|'

DIR ?= $(shell go env GOROOT)/src

run: ## index Go's own source tree (DIR=... for another) and search it
	@mkdir -p build
	go build -o build/fileindex ./cmd/fileindex
	build/fileindex -db build/index.db -stats index '$(DIR)'
	@echo; echo '== by category =='; build/fileindex -db build/index.db summary
	@echo; echo '== the ten largest files =='; build/fileindex -db build/index.db largest -n 10
	@echo; echo '== search: conn =='; build/fileindex -db build/index.db search -n 10 conn

ADDR ?= 127.0.0.1:8080

serve: ## search the index of make run in a browser (ADDR=127.0.0.1:8080), and look at its pool
	@mkdir -p build
	go build -o build/fileindex ./cmd/fileindex
	@test -f build/index.db || build/fileindex -db build/index.db index '$(DIR)'
	@exec build/fileindex -db build/index.db serve -addr '$(ADDR)'

# The race detector watches Go's own memory. SQLite keeps its data outside of it,
# so that watching modernc's translation finds nothing and takes five times as long. Its
# driver is watched: it brings a copy of sync.Map's code, which the linker may take for all,
# and of which one that is not watched makes races of what is none.
RACE := -race -gcflags=modernc.org/...=-race=false -gcflags=modernc.org/sqlite=
# Programs that tests start end at once, not after the second that it gives reports.
export GORACE ?= atexit_sleep_ms=0
# For one package, on a machine ten times as slow as one on which all take two minutes.
TIMEOUT := 30m

# At its end a run that fails tells again which tests did, each with the first of what it
# said, and of panics, data races and packages that do not compile.
FAILURES := awk ' \
	/^ *--- FAIL: |^panic: |^fatal error: |^WARNING: DATA RACE|^\# / { left = 10 } \
	/^FAIL\t/ { print } /^FAIL|^ok / { left = 0 } \
	left && !/^[0-9][0-9][0-9][0-9]\/[0-9]/ { print; left-- }' build/test.txt
define go-test
	@mkdir -p build
	@echo go test $(1)
	@go test $(1) 2>&1 | tee build/test.txt || { echo; echo '== what failed =='; $(FAILURES); exit 1; }
endef

test: build/tools ## run all tests, with the race detector; then count allocations without it
	$(call go-test,$(RACE) -timeout $(TIMEOUT) $(AGAIN) $(TESTFLAGS) ./...)
	$(call go-test,-timeout $(TIMEOUT) $(AGAIN) -run Alloc ./repo ./internal/lane)

# Go's cache of results does not know rapid's variables.
test-long: export SQLANE_LONG := 1
test-long: export RAPID_CHECKS := 300
test-long: AGAIN := -count=1
test-long: TIMEOUT := 60m
test-long: test ## the same with many more rounds, as continuous integration runs it

test-short: build/tools ## the same with few rounds, without the race detector
	$(call go-test,-short -timeout $(TIMEOUT) $(TESTFLAGS) ./...)

# Go keeps what it has compiled in its cache. Here it does so before a test's time runs.
build/tools: tools/go.mod tools/go.sum
	@echo 'compiling sqlc and goose, once; that takes some minutes on a slow machine'
	@$(TOOL) sqlc version >/dev/null && $(TOOL) goose -version >/dev/null
	@mkdir -p build && touch $@

FOR ?= 10m

stress: ## mix everything for ten minutes (FOR=... for another time)
	@mkdir -p build
	go build -race -o build/stress ./internal/stress
	build/stress -for '$(FOR)'

FUZZ := pool:FuzzScripts pool:FuzzScan pool:FuzzClassifier internal/sqlite:FuzzSplit internal/wire:FuzzAnswers pool:FuzzParseConfig pool:FuzzCorruptFile \
	cmd/repogen:FuzzPackages cmd/repogen:FuzzSources cmd/repogen:FuzzClassify cmd/fileindex:FuzzSearch

fuzz: ## try what nobody thought of, for ten minutes (FOR=...) shared by all; what is found lands in testdata/fuzz
	@grep -qE '^([0-9]+h)?([0-9]+m)?([0-9]+s)?$$' <<<'$(FOR)' || { echo 'FOR=$(FOR) is no time; write 90s, 10m or 1h30m' >&2; exit 2; }; \
	  seconds=$$(($$(sed -E 's/0*([0-9]+)h/\1*3600+/; s/0*([0-9]+)m/\1*60+/; s/0*([0-9]+)s/\1+/; s/$$/0/' <<<'$(FOR)'))); \
	  each=$$((seconds / $(words $(FUZZ)))); test $$each -ge 1 || { echo 'FOR=$(FOR) is less than a second for each of $(words $(FUZZ))' >&2; exit 2; }; \
	  trap 'exit 130' INT TERM; failed=0; for target in $(FUZZ); do \
	    echo "== $$target for $${each}s"; SQLANE_LONG=1 go test ./$${target%%:*} -run '^$$' -fuzz "^$${target##*:}$$" -fuzztime $${each}s || failed=1; \
	  done; exit $$failed

# Packages whose tests are tried; MUTATE_EXCEPT is a regular expression of files to leave out.
MUTATE ?= pool dqlite internal/lane internal/watch internal/wire native repo cmd/repogen
MUTATE_EXCEPT ?= ^$$
# Most of the time is spent waiting for mutants that hang.
MUTATE_WORKERS ?= 6
MUTANTS := --invert-logical --invert-loopctrl --invert-assignments --remove-self-assignments

mutate: ## change the code on purpose and see the tests fail (MUTATE=pool); goes on where it was stopped
	@mkdir -p build/mutate/memory && rm -f build/mutate/memory/errors.txt
	@go build -o build/mutate/bin/go ./internal/mutate
	@go -C tools build -o ../build/mutate/gremlins github.com/go-gremlins/gremlins/cmd/gremlins
	@test -n '$(strip $(MUTATE))' || { echo 'mutate what? make mutate MUTATE=pool' >&2; exit 2; }
	@trap 'exit 130' INT TERM; for package in $(MUTATE); do \
	  test -d "$$package" || { echo "MUTATE: there is no folder $$package" >&2; exit 2; }; \
	  MUTATE_GO=$$(command -v go) MUTATE_ROOT='$(CURDIR)' MUTATE_MEMORY='$(CURDIR)/build/mutate/memory' PATH='$(CURDIR)/build/mutate/bin':$$PATH \
	    build/mutate/gremlins unleash '$(CURDIR)'/$$package $(MUTANTS) --workers $(MUTATE_WORKERS) --timeout-coefficient 1000000 \
	    --exclude-files testdata/ --exclude-files '$(MUTATE_EXCEPT)' --output-statuses lc --output build/mutate/$$(basename $$package).json; \
	done; \
	if test -s build/mutate/memory/errors.txt; then echo 'NOT JUDGED, though they are among those that lived:' >&2; sort build/mutate/memory/errors.txt | uniq -c >&2; exit 1; fi

soak: ## do everything at once for ten minutes (FOR=30m) and see that nothing grows
	@mkdir -p build
	go build -o build/soak ./internal/stress
	build/soak -soak -for '$(FOR)'

torture: ## kill processes, cut the power, inject faults; one table of what was lost (TORTUREFLAGS=-short, -only, -seed, -dir)
	cd torture && go build -o ../build/torture .
	build/torture $(TORTUREFLAGS)

# The short form of every trial. Power loss and I/O errors need root and /dev/fuse.
torture-check: ## vet and run the short form of each
	cd torture && go vet ./... && go test -timeout $(TIMEOUT) ./...
	@test -n "$${SQLANE_NODE-}" || echo '#include <dqlite.h>' | cc -E - >/dev/null 2>&1 || \
		echo '== NOT CHECKED: what becomes of a cluster that loses nodes, since there is no libdqlite (Debian: libdqlite-dev)'

# PocketBase is large: this is no part of ci. The race detector finds races of its own,
# where it loads its settings anew.
pocketbase: ## run PocketBase on pools, and as it is, over HTTP on loopback
	cd compat/pocketbase && go vet ./... && go test -timeout $(TIMEOUT) ./...

examples-check: build/tools ## generate, test and run the examples in a copy outside the repository, and their page in a browser
	@RACE='$(RACE)' examples/check

# .ci/chromium installs a browser where it may; without one it says so and that is all.
# The race detector has its turn in the packages' own tests.
browser-check: ## vet the tests in a browser, and run them if there is one
	cd browser && go vet -tags chromium ./...
	@browser=$$(.ci/chromium) && export SQLANE_CHROMIUM="$$browser" || { code=$$?; test $$code = 3 && exit 0 || exit $$code; }; \
	  cd browser && go test -tags chromium -timeout $(TIMEOUT) $(TESTFLAGS) ./...

# .ci/dqlite installs dqlite's C library where it may; without it and cgo it says so and
# that is all.
cluster-check: ## vet, staticcheck and test cluster/, if there is dqlite
	@.ci/dqlite || { code=$$?; test $$code = 3 && exit 0 || exit $$code; }; echo 'cluster/: go vet, staticcheck, go test'; \
	  cd cluster && export CGO_ENABLED=1 && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./... && go test $(RACE) -timeout $(TIMEOUT) $(TESTFLAGS) ./...

CLUSTER_DIR ?= build/cluster

cluster: ## run three nodes on 127.0.0.1:9001-9003 until Ctrl-C (CLUSTER_DIR=build/cluster)
	@.ci/dqlite
	@mkdir -p build
	@cd cluster && CGO_ENABLED=1 go build -o ../build/cluster-node ./cmd/node
	@exec cluster/three build/cluster-node '$(CLUSTER_DIR)'

# What runs on any Store does on a cluster too where SQLANE_CLUSTER names one.
SUITES := ./repo ./queries ./cmd/repogen ./cmd/fileindex ./cmd/sqlane

cluster-suites: ## run the suites of generated code and of the programs on three nodes as well, if there is dqlite
	@.ci/dqlite || { code=$$?; test $$code = 3 && exit 0 || exit $$code; }; \
	  mkdir -p build && (cd cluster && CGO_ENABLED=1 go build -o ../build/cluster-node ./cmd/node) && \
	  dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cluster/three build/cluster-node "$$dir" go test -timeout $(TIMEOUT) $(TESTFLAGS) $(SUITES)

screenshots: export SQLANE_SCREENSHOTS := $(CURDIR)/docs/screenshots
screenshots: ## renew the pictures of pages in docs/screenshots
	@$(MAKE) --no-print-directory browser-check TESTFLAGS='-count=1 -run WellMade'

generate: build/tools ## run sqlc and repogen
	go generate ./...

lint: ## gofumpt, go vet, staticcheck, govulncheck
	@unformatted=$$($(TOOL) gofumpt -l . ); test -z "$$unformatted" || { echo "not gofumpt-clean:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	@out=$$($(TOOL) govulncheck ./... 2>&1) && echo "govulncheck: clean" || { \
	  if grep -qE 'dial tcp|no such host|connection refused|fetching vulnerabilities|i/o timeout|403 Forbidden' <<<"$$out"; then \
	    echo "govulncheck: NOT CHECKED, the vulnerability database is out of reach:"; tail -n 1 <<<"$$out"; \
	  else echo "$$out"; exit 1; fi; }

# Go has no darwin/386. Compiling SQLite takes most of a minute for each, the first time.
PLATFORMS ?= $(filter-out darwin/386,$(foreach os,windows darwin linux freebsd,$(foreach arch,amd64 arm64 386,$(os)/$(arch))))

platforms: ## build and vet for every platform, tests included, without cgo (PLATFORMS='windows/arm64 linux/arm')
	@for platform in $(PLATFORMS); do \
	  echo "go build and go vet for $$platform"; export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; go build ./...; go vet ./...; \
	done

cover: build/tools ## run all tests and fail below 95 % of what is covered
	@mkdir -p build
	go test -timeout $(TIMEOUT) -coverpkg=$(COVERED) -coverprofile=build/cover.out ./...
	@$(MAKE) --no-print-directory cover-check

cover-check:
	@{ head -n 1 build/cover.out; grep -vE '^mode:|_gen\.go:|/testdata/' build/cover.out; } > build/cover.own
	@go tool cover -func=build/cover.own > build/cover.txt
	@total=$$(tail -n 1 build/cover.txt | grep -oE '[0-9.]+%' | tr -d %); \
	  awk -F: 'NR > 1 { split($$2, f, " "); n = f[2]; p = $$1; sub("/[^/]*$$", "", p); key = $$1 ":" f[1]; if (!(key in stmts)) { stmts[key] = n; pkg[key] = p } if (f[3] > 0) hit[key] = 1 } \
	    END { for (k in stmts) { all[pkg[k]] += stmts[k]; if (k in hit) got[pkg[k]] += stmts[k] } for (p in all) printf "%-50s %5.1f%%\n", p, 100 * got[p] / all[p] }' build/cover.own | sort; \
	  echo "coverage: $$total% of statements, $(COVERAGE)% needed"; \
	  awk -v t=$$total 'BEGIN { exit !(t >= $(COVERAGE)) }'

generate-check: generate
	@changed=$$(git status --porcelain -- $(GENERATED) cmd/repogen/testdata); test -z "$$changed" || { echo "generated code is not what is committed:"; echo "$$changed"; exit 1; }

check-queries: build/tools ## what sqlane check says of this project: generated code, migrations, plans
	go run ./cmd/sqlane check

sqlc-check: build/tools ## sqlc diff, and sqlc vet with our rules
	@$(TOOL) sqlc diff && echo "sqlc diff: clean"
	@$(TOOL) sqlc vet && echo "sqlc vet: clean"

release-check: ## compare the exported API with the last release's
	@.ci/release-check

build: ## build all modules; the product without cgo
	CGO_ENABLED=0 go build ./...
	cd tools && go mod verify

# By commands in folders of their own, as a reader would: that takes longer than the tests of a package may.
docs-check: build/tools ## run what README and the guides say, step by step
	cd docs && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./... && go test -timeout $(TIMEOUT) ./...

ci: lint generate-check check-queries build sqlc-check release-check platforms ## everything that must pass
	@mkdir -p build
	@$(MAKE) --no-print-directory test-long TESTFLAGS='-coverpkg=$(COVERED) -coverprofile=build/cover.out'
	@$(MAKE) --no-print-directory cover-check
	@$(MAKE) --no-print-directory docs-check
	@$(MAKE) --no-print-directory compat-check otel-check prometheus-check containers-check
	@$(MAKE) --no-print-directory bench-check
	@$(MAKE) --no-print-directory torture-check
	@$(MAKE) --no-print-directory examples-check browser-check
	@$(MAKE) --no-print-directory cluster-check cluster-suites

compat-check: ## vet compat/, and run other people's programs on a pool and on the driver alone
	cd compat && go vet ./... && go test $(RACE) -timeout $(TIMEOUT) ./...

otel-check: ## vet, staticcheck and test otel/
	cd otel && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./... && go test $(RACE) -timeout $(TIMEOUT) ./...

prometheus-check: ## the same of prometheus/ and its dashboard
	cd prometheus && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./... && go test $(RACE) -timeout $(TIMEOUT) ./...
	cd prometheus/dashboard && go vet ./... && go tool -modfile=../../tools/go.mod staticcheck ./... && go test -timeout $(TIMEOUT) ./...

containers-check: ## the same of containers/
	cd containers && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./... && go test $(RACE) -timeout $(TIMEOUT) ./...

# mattn's driver and ncruces' register under one name: the latter goes without.
BENCH := cd bench && GOFLAGS='-tags=mattn -ldflags=-X=github.com/ncruces/go-sqlite3/driver.driverName='
BENCH_BUILD = $(BENCH) go build -o ../build/sqlane-bench . && go build -o ../build/sqlane-bench-naive ./naive && go build -C .. -o build/fileindex ./cmd/fileindex
# What uses a cluster takes dqlite's C library and go-dqlite. Without them it is not built,
# and the results say that it was not measured. The tag has mattn's driver, of which
# go-dqlite has a store of addresses, take Debian's SQLite.
CLUSTER_BENCH := cd cluster/bench && export CGO_ENABLED=1 GOFLAGS=-tags=libsqlite3
define cluster-bench-build
	@mkdir -p build && rm -f build/sqlane-bench-cluster
	@.ci/dqlite go-dqlite || { code=$$?; test $$code = 3 && exit 0 || exit $$code; }; set -x; \
	  ($(CLUSTER_BENCH) && go build -o ../../build/sqlane-bench-cluster .) && cd cluster && CGO_ENABLED=1 go build -o ../build/cluster-node ./cmd/node
endef

bench: ## measure beside the peers and renew the figures in docs/comparison.md, half an hour (BENCHFLAGS='-only R1' for a part)
	$(BENCH_BUILD)
	$(cluster-bench-build)
	build/sqlane-bench -tree '$(DIR)' -readme docs/comparison.md $(BENCHFLAGS)

bench-quick: ## the same in two minutes, results to build/bench
	$(BENCH_BUILD)
	$(cluster-bench-build)
	build/sqlane-bench -quick -tree '$(DIR)' $(BENCHFLAGS)

bench-cluster: ## the part of it that a cluster of three is, ten minutes, results to build/bench
	$(BENCH_BUILD)
	$(cluster-bench-build)
	build/sqlane-bench -only '^C1/' $(BENCHFLAGS)

bench-check: ## vet, test and staticcheck the benchmarks
	$(BENCH) go vet ./...
	$(BENCH) go test -timeout $(TIMEOUT) ./...
	cd bench && go tool -modfile=../tools/go.mod staticcheck -tags mattn ./...
	@.ci/dqlite go-dqlite || { code=$$?; test $$code = 3 && exit 0 || exit $$code; }; set -x; $(CLUSTER_BENCH); \
	  go vet ./... && go tool -modfile=../../tools/go.mod staticcheck ./... && go test -timeout $(TIMEOUT) ./...

# Only up makes a database that is not there.
define goose
	@test -n '$(DB)' || { echo 'which database? make $@ DB=app.db' >&2; exit 2; }
	@test '$(1)' = up -o -f '$(DB)' || { echo 'there is no database $(DB)' >&2; exit 1; }
	$(GOOSE) '$(DB)' $(1)
endef

migrate-up: ## apply the missing migrations to DB=...
	$(call goose,up)

migrate-down: ## take the newest migration of DB=... back
	$(call goose,down)

migrate-status: ## tell which migrations DB=... has
	$(call goose,status)

clean: ## remove what was built
	rm -rf build

# None of the targets is a file.
.PHONY: $(shell grep -oE '^[a-z-]+:' $(MAKEFILE_LIST) | tr -d :)
