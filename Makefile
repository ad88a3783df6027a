# What contributors type. The steps themselves are in .ci/run, which the gate runs whole.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
FUZZTIME ?= 1m
COUNT ?= 10
BENCH ?= .

.ONESHELL:
.PHONY: check test race lint fmt fuzz bench interop cover

check: ## the gate without what it fetches
	.ci/run modules lint vet cross test

test:
	go test ./...

race:
	.ci/run test

lint:
	.ci/run lint

fmt:
	"$$(cd tools && go tool -n golangci-lint)" fmt

fuzz: ## every fuzz target in turn, FUZZTIME each
	packages=$$(go list ./...)
	for package in $$packages; do
		targets=$$(go test -list '^Fuzz' "$$package" | sed -n '/^Fuzz/p')
		for target in $$targets; do
			echo "$$package $$target"
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"
		done
	done

bench: ## COUNT runs into bin/bench.txt, and their medians; compare two such files with benchstat
	mkdir -p bin
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... | tee bin/bench.txt
	"$$(cd tools && go tool -n benchstat)" bin/bench.txt

interop: ## the suite against real servers; as root, see CONTRIBUTING.md
	internal/interop/install.sh
	go test -tags interop -race -count=1 ./internal/interop/...
	go test -tags interop -count=1 -timeout 20m -run "^TestInterop" .

cover:
	mkdir -p bin
	go test -coverpkg ./... -coverprofile bin/cover.out ./...
	go tool cover -func bin/cover.out | tail -n 1
