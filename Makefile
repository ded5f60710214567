# Every target sets the environment up first; that costs nothing the second time.
PY := .venv/bin/python
# Many tests wait for a clock, a socket or a child as long as they compute: three processes keep two cores busy.
JOBS ?= 3

.PHONY: help setup test crash seeds lives soak lint format demo bench fuzz vectors independent clean distclean

help:
	@echo "setup        make .venv with everything pinned"
	@echo "demo         simulator, node and strategy for 20 seconds, then the check of every fill"
	@echo "test         all tests"
	@echo "crash        200 kills of a node, each at a point of its journal or at random"
	@echo "soak         an hour of trading with a fault every 30 seconds: what grows (SECS=600, ARGS=--write)"
	@echo "seeds        the swarm on virtual time, seed after seed for ten minutes (SEED, COUNT, MINUTES)"
	@echo "lives        orders at a venue on paper, told over bad roads: 20,000 lives (SEED, COUNT)"
	@echo "lint         ruff, mypy --strict, import contracts"
	@echo "format       let ruff fix what it can"
	@echo "bench        the table of ratios"
	@echo "fuzz         damaged input for every decoder and every simulator entry (ARGS=--runs, --seed, --target)"
	@echo "vectors      write the signing vectors anew with the reference library"
	@echo "independent  let the official client trade on the simulator"
	@echo "clean        remove caches; distclean removes .venv as well"

setup:
	@sh tools/setup.sh

demo: setup
	@.venv/bin/venuekit demo $(ARGS)

test: setup
	@$(PY) -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

crash: setup
	@VENUEKIT_KILLS=$(or $(KILLS),200) $(PY) -m pytest -q -x -s tests/crash $(ARGS)

soak: setup
	@$(PY) tests/soak/run.py --secs $(or $(SECS),3600) $(ARGS)

seeds: setup
	@$(PY) tests/swarm/seeds.py --seed $(or $(SEED),1) --count $(or $(COUNT),10000) --minutes $(or $(MINUTES),10) --jobs $(JOBS)

lives: setup
	@VENUEKIT_LIVES_FROM=$(or $(SEED),1) VENUEKIT_LIVES=$(or $(COUNT),20000) \
		$(PY) -m pytest -q -n $(JOBS) tests/properties/test_order_lives.py $(ARGS)

lint: setup
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache

format: setup
	@$(PY) -m ruff check --fix-only --quiet .

bench: setup
	@$(PY) benchmarks/run.py $(ARGS)

fuzz: setup
	@$(PY) tests/fuzz/run.py $(ARGS)

vectors: setup
	@$(PY) venues/paradex/tests/make_vectors.py $(ARGS)

independent: setup
	@$(PY) tests/independent/paradex_sdk.py $(ARGS)

clean:
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name .venv -prune -o -name .independent -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -type d -print | xargs rm -rf

distclean: clean
	@rm -rf .venv .independent
