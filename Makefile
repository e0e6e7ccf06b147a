# NovaCron console. `make run` and `make test` do the whole setup the first time.
.DEFAULT_GOAL := help
.PHONY: help run test test-fast torture check screenshots manual bench format setup
PYTHON := .venv/bin/python
ARGS ?=

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|'

.venv/.ready: uv.lock pyproject.toml tools/setup.sh
	@tools/setup.sh

setup: .venv/.ready ## install what is missing (run and test do this automatically)

run: .venv/.ready ## open the console with its bundled server
	@.venv/bin/novacron $(ARGS)

test: .venv/.ready ## run all tests, on real PostgreSQL, libvirt and QEMU
	@$(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-fast: .venv/.ready ## run the tests that need no guest, no libvirtd and no PostgreSQL
	@$(PYTHON) -m pytest -n 4 --dist worksteal -q -m fast $(ARGS)

torture: .venv/.ready ## run the long forms of the crash, fault and fuzz tests, a line a case
	@NOVACRON_KILLS=20 NOVACRON_DATABASE_KILLS=5 NOVACRON_MOVE_KILLS=all \
		$(PYTHON) -m pytest -n 2 --dist loadfile -v -m "torture or long" --hypothesis-profile torture $(ARGS)

check: .venv/.ready ## check lint, types, import rules and file sizes
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@MYPYPATH=server .venv/bin/mypy --strict
	@.venv/bin/lint-imports --no-cache
	@$(PYTHON) tools/sizes.py

screenshots: .venv/.ready ## regenerate screenshots/ from a journey on a real guest
	@$(PYTHON) -m tests.screenshots

manual: .venv/.ready ## write docs/novacron.1 anew from the commands and their help
	@$(PYTHON) tools/manual.py

bench: .venv/.ready ## run the benchmarks, each compared with a baseline of the same run
	@$(PYTHON) -m tests.benchmarks $(ARGS)

format: .venv/.ready ## format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .
