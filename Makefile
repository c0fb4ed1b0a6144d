# What people and CI run. The PostgreSQL that tests and the demo need is found
# or fetched by .ci/setup, which prints where its binaries are.

# One setting for set-up, build and tests: nothing is compiled twice, and what
# is tested is what is shipped.
export CGO_ENABLED = 0

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
POSTGRES     = PG_BIN=$$(.ci/setup) && export PG_BIN &&

# Go refuses to build where git refuses to answer, as for another user's clone.
STAMP        = $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)

.PHONY: help demo test build lint race bench schema dashboards kql pooler every soak page mutants weeks image
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## sync a simulated tenant into a private PostgreSQL, twice, and show it
	@$(POSTGRES) $(MAKE) --no-print-directory build && ./defendersync demo --once

test: ## set up what is missing, then vet and test everything
	@$(POSTGRES) go vet ./... && go test -timeout 20m ./...

build: ## build ./defendersync
	go build $(STAMP) -o defendersync ./cmd/defendersync

lint: ## formatting, vet, staticcheck and the table of mutants
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go vet ./... && go vet -tags pooler,soak ./sync
	go run $(STATICCHECK) ./...
	go test ./.ci/mutate # its table says what the code says

# Tests of pglocal, and those skipped, are about processes and broken lines, which
# the detector does not see, or make one request after another; together they would
# take a quarter of an hour of it.
RACELESS = ^(TestKill|TestTermMatrix|TestPause|TestDeadWorkers|TestGivenUp|TestLineTo|TestWireCut|TestServerStops|TestTerminated|TestDashboards|TestCookbook|TestEveryKnownTable|TestHunt|TestIdle|TestSnapshot|TestPoison|TestBI|TestTie|TestDatabaseEquals|TestClockSweep)|^TestScript/^[^r]

race: ## tests under the race detector, with fewer worlds, kills and cuts (needs a C compiler)
	@$(POSTGRES) CGO_ENABLED=1 go test -race -short -timeout 20m -skip '$(RACELESS)' $$(go list ./... | grep -v /pglocal)

bench: ## incidents per second and allocations, through the whole path
	@$(POSTGRES) go test -run '^$$' -bench . -benchmem ./...

schema: ## write schema.txt and the data dictionary from the migrations, which tests compare
	@$(POSTGRES) go test ./migrations -run "^(TestSchema|TestDictionary)$$" -count=1 -update

# A module of its own, for the sake of Grafana's types.
dashboards: ## write Grafana's dashboards, which tests compare
	cd deploy/grafana/generate && go vet ./... && go test ./... -count=1 -update

# Needs node and npm, and the published queries beside the repository.
kql: ## check the hunting queries that are sent with Microsoft's own parser
	@mkdir -p .cache && rm -f .cache/kql.jsonl
	@npm --prefix .ci/kql ci --silent --no-audit --no-fund
	go test ./sync/kql -run '^TestTexts$$' -count=1 -out "$(CURDIR)/.cache/kql.jsonl"
	node .ci/kql/check.mjs .cache/kql.jsonl "$(or $(DEFENDERSYNC_FIXTURES),../shared/fixtures)/../reference/hunting_tables.json"

# PgBouncer is Debian's here; elsewhere install it before.
pooler: ## test the worker and migrations through PgBouncer in transaction mode
	@command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null; }
	@$(POSTGRES) go vet -tags pooler ./sync && go test -tags pooler ./sync -run '^TestPooler' -count=1

soak: ## run the worker for MINUTES (10) while everything fails, as SEED (1) says, and compare
	@$(POSTGRES) go vet -tags soak ./sync && go test -tags soak ./sync -run '^TestSoak$$' -count=1 -timeout 0 -v \
		-args -minutes $(or $(MINUTES),10) -seed $(or $(SEED),1)

every: ## every seed, kill and cut, of which the quick suite has a part
	@$(POSTGRES) go test ./sync -count=1 -timeout 0 -every

# Each week takes ten seconds of a core, and several are simulated at a time.
weeks: ## simulate WEEKS (4) weeks of each of SEEDS (30) worlds that fail in every way
	@$(POSTGRES) go test ./sync -run '^TestWeeks$$' -count=1 -timeout 0 -v \
		-args -weeks.seeds=$(or $(SEEDS),30) -weeks.weeks=$(or $(WEEKS),4)

# A module of its own, which none of the other targets needs. Installs Chromium
# where there is none, as root by Debian's package manager.
page: ## look at the page in a real Chromium
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 || { \
		echo "page: no Chromium here, asking the package manager" >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; }
	@$(POSTGRES) cd .ci/page && go vet ./... && go test -count=1 ./...

# Each mutant is judged by one named test: see .ci/mutate/table*.go.
mutants: ## take each safety device away and see its test fail
	@$(POSTGRES) go run ./.ci/mutate

image: ## build the container image
	docker build -t defendersync .
