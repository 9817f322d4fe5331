# The project's commands. `make up` runs it, `make test` tests it; both set up what they need first.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
WORKERS ?= 2

.PHONY: help up test check format bench soak lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

up: .venv/runtime.stamp ## Run everything on embedded Postgres (ARGS="--port 8001" is passed on)
	@exec $(BIN)/opsbook up $(ARGS)

test: .venv/components.env node_modules/.package-lock.json ## Run the tests on real components (ARGS="tests/flags -x" is passed on)
	@set -a; . ./.venv/components.env; exec $(BIN)/pytest -n $(WORKERS) --dist loadfile --durations=10 $(ARGS)

check: .venv/dev.stamp ## Format, lint, types, import rules, documentation, spelling
	@$(BIN)/python tools/check.py

format: .venv/dev.stamp ## Rewrite the code in the project's format and the generated documentation
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python tools/command_reference.py

bench: .venv/components.env ## Measure every target and write benchmarks/RESULTS.md
	@set -a; . ./.venv/components.env; exec $(BIN)/python benchmarks/run.py $(ARGS)

soak: .venv/components.env ## Prove what takes too long for a test: load and faults, agreement, memory (ARGS="--minutes 30")
	@set -a; . ./.venv/components.env; exec $(BIN)/python -m benchmarks.soak $(ARGS)

lock: .venv/dev.stamp ## Resolve the dependencies anew (ARGS="--upgrade" for the newest)
	@$(BIN)/python tools/lock.py $(ARGS)

clean: ## Remove what was made here, except the databases in .opsbook
	rm -rf .venv node_modules dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/runtime.stamp: requirements.lock pyproject.toml tools/environment.py
	@$(PYTHON) tools/environment.py runtime

.venv/dev.stamp: requirements-dev.lock pyproject.toml tools/environment.py
	@$(PYTHON) tools/environment.py dev

.venv/components.env: .venv/dev.stamp tools/components.py
	@$(BIN)/python tools/components.py

node_modules/.package-lock.json: package-lock.json .venv/components.env
	@set -a; . ./.venv/components.env; $(BIN)/python tools/components.py npm
