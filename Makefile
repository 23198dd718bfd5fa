# The only task runner. `make help` tells what there is.
.DEFAULT_GOAL := help
.PHONY: help deps deps-test deps-bench build serve test check differential pages format lint fuzz bench clean

PYTHON := .build/venv/bin/python
# debug: built in half the time, to look around; release: to serve.
CONFIG ?= release
BINARY = .build/$(CONFIG)/maskllm
FUZZ_SECONDS ?= 20

help: ## show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the system libraries that are missing (root or sudo)
	@scripts/deps.sh build

deps-test: deps
	@scripts/deps.sh test
	@cmp -s Tests/Integration/requirements.txt .build/venv/requirements.txt || { \
	  python3 -m venv .build/venv && $(PYTHON) -m pip install -q -r Tests/Integration/requirements.txt && \
	  cp Tests/Integration/requirements.txt .build/venv/requirements.txt; }

deps-bench: deps
	@scripts/deps.sh bench

build: deps ## build .build/release/maskllm (CONFIG=debug: sooner built, slower)
	swift build -c $(CONFIG) --product maskllm

serve: build ## build, start the gateway on its embedded default, and print a request to try
	@exec $(BINARY) serve --init --demo

test: deps-test ## run every test: units, the corpora, the SDKs, real processes
	swift build --build-tests
	swift test --skip-build
	$(PYTHON) -m pytest -q -n 3 --dist worksteal Tests/Integration

check: lint test fuzz ## what a change has to pass: format, floors, house rules, tests, some fuzzing

differential: deps-test ## hold models, objects, money and numbers against real servers and an independent calculator: every case, about an hour (MASKLLM_BINARY=program: another build)
	$(if $(MASKLLM_BINARY),,swift build --product maskllm)
	MASKLLM_DIFFERENTIAL=full $(PYTHON) -m pytest -q Tests/Integration/test_differential_*.py Tests/Integration/test_extremes*.py

pages: deps-test ## write docs/providers/*.md anew from the catalogue
	$(PYTHON) scripts/provider_pages.py

format: ## lay the sources out
	swift format --in-place --recursive --parallel Package.swift Sources Tests Examples/Resolve/Sources

lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests Examples/Resolve/Sources

fuzz: deps ## fuzz the parsers for FUZZ_SECONDS (default 20); hours on demand
	scripts/fuzz.sh $(FUZZ_SECONDS)

bench: build deps-bench deps-test ## compare with nginx (and AGAINST=program, an earlier build); time the library, the start and revocation
	swift build -c release --package-path Examples/Resolve --scratch-path .build/example
	MASKLLM_BENCH=1 swift build -c release --product bench-decide --scratch-path .build/bench
	python3 bench/bench.py $(if $(AGAINST),--against $(AGAINST))
	$(PYTHON) bench/revocation.py

clean: ## remove what was built
	rm -rf .build Examples/Resolve/.build
