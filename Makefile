# Octoco Wallet. `make` alone lists the targets. Everything runs in .venv, which `deploy/bootstrap`
# makes from the locked packages; the runner (deploy/runner) does the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
RUNNER := $(BIN)/octoco-runner
# make test ARGS="services/wallet -k ledger"
ARGS ?=
NAME ?= wallet

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: bootstrap
bootstrap: ## Make .venv from the locked packages (quick when nothing changed)
	@deploy/bootstrap

# ---- running ----

.PHONY: demo up down clean status messages logs story servers
demo: bootstrap ## Start everything, play the whole story, say what it saw, stop
	@$(RUNNER) demo

up: bootstrap ## Start everything and leave it running; prints the addresses
	@$(RUNNER) up

down: bootstrap ## Stop everything; the data stays
	@$(RUNNER) down

clean: bootstrap ## Stop everything and remove the data, logs and secrets
	@$(RUNNER) clean

status: bootstrap ## Say what runs
	@$(RUNNER) status

messages: bootstrap ## Say how much waits in outboxes, queues and dead queues of all services
	@$(RUNNER) messages

logs: bootstrap ## Follow a log: make logs NAME=wallet-worker
	@$(RUNNER) logs --follow $(NAME)

story: bootstrap ## Play the story on the running system (or where GATEWAY_URL points)
	@$(RUNNER) story

servers: bootstrap ## Run only PostgreSQL and RabbitMQ, for tests by hand, until Ctrl-C
	@$(RUNNER) servers

# ---- checking ----

.PHONY: check format lint types imports test
check: lint types imports test ## Everything CI runs: format, lint, types, import contracts, tests

format: bootstrap ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

lint: bootstrap ## Check format and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: bootstrap ## Check types (mypy --strict)
	@$(BIN)/mypy .

imports: bootstrap ## Check the import contracts
	@$(BIN)/lint-imports

test: bootstrap ## Run all tests on a PostgreSQL and a RabbitMQ of their own (ARGS=... for pytest)
	@$(RUNNER) test -- $(ARGS)

.PHONY: proof
proof: bootstrap ## Sagas while everything dies: each has its effect once (SAGAS=3000 for more, SEED=...)
	@$(RUNNER) test -- tests/proof $(ARGS)

# ---- measuring ----

.PHONY: bench-ledger
bench-ledger: ## Measure the ledger into .local/bench, ten minutes (ARGS=--quick for two; ARGS=--help)
	@deploy/bootstrap bench
	@$(BIN)/python -m tests.bench.ledger $(ARGS)

.PHONY: bench-messaging
bench-messaging: bootstrap ## Measure the messages' way into .local/bench (ARGS=--quick; ARGS=--help)
	@deploy/bootstrap bench
	@$(BIN)/python -m tests.bench.messaging $(ARGS)

# ---- writing ----

.PHONY: openapi events contracts lock
openapi: bootstrap ## Write the API page and the merged openapi.json to build/docs
	@$(RUNNER) docs --output build/docs

events: bootstrap ## Write docs/events.md and the merged AsyncAPI document to build/events
	@$(RUNNER) events --page docs/events.md --document build/events/asyncapi.json

contracts: bootstrap ## Freeze new message schemas and revisions; refuse one that breaks a promise
	@$(RUNNER) contracts

lock: bootstrap ## Write requirements.lock anew after a change of dependencies
	@deploy/lock
