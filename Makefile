# Needs Python 3.11 or later with venv; the rest comes by itself. `make help` lists the targets.

# The system's own Python comes first: distributions build theirs with profiles, which makes it half again as fast as what
# version managers compile. One with headers, so that Mailwright can be compiled, and with venv; else one that is new enough.
PYTHON ?= $(shell for needs in "Python.h ensurepip" ensurepip ""; do \
	for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import importlib.util, os, sys, sysconfig; sys.exit(sys.version_info < (3, 11) or not all( \
	os.path.exists(os.path.join(sysconfig.get_path("include"), need)) or importlib.util.find_spec(need) \
	for need in sys.argv[1:]))' $$needs 2>/dev/null && echo $$p && exit; done; done)
DEV := .venv
RUN := .venv-run
DATA ?= demo-data
PIP := -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find src -name '*.py' -o -name '*.sql')

.DEFAULT_GOAL := help
.PHONY: help run install test bench lint format docs clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: install ## Start the demo server on loopback
	@exec $(RUN)/bin/mailwright demo --data $(DATA)

install: $(RUN)/.installed ## Install into .venv-run, compiled where a C compiler is

test: $(DEV)/.ready ## Run all tests: make test ARGS='-k imap'
	@$(DEV)/bin/python -m pytest -n auto --dist worksteal $(ARGS)

bench: $(RUN)/.bench ## Measure, side by side with Postfix and Dovecot where they are: ARGS='--help'
	@MAILWRIGHT=$(CURDIR)/$(RUN)/bin/mailwright $(RUN)/bin/python -m bench $(ARGS)

lint: $(DEV)/.ready ## ruff, mypy --strict, import-linter
	@$(DEV)/bin/ruff check
	@$(DEV)/bin/ruff format --check
	@$(DEV)/bin/mypy
	@$(DEV)/bin/lint-imports

format: $(DEV)/.ready ## Format the code
	@$(DEV)/bin/ruff check --fix
	@$(DEV)/bin/ruff format

docs: $(DEV)/.ready ## Make the generated pages anew
	@$(DEV)/bin/python -m mailwright.config.reference > docs/configuration.md
	@$(DEV)/bin/python -m mailwright.cli.reference > docs/cli.md
	@$(DEV)/bin/python docs/rfc.py

clean: ## Remove all that make has made, but for the demo's data
	rm -rf $(DEV) $(RUN) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# Python says it best when it is too old or has no venv.
define environment
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed: apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(1) || { echo "Python's venv is needed: apt install python3-venv"; exit 1; }
endef

$(RUN)/.installed: pyproject.toml hatch_build.py $(SOURCES)
	@echo "Installing Mailwright into $(RUN); compiling takes a minute or two, once ..."
	$(call environment,$(RUN))
	@$(RUN)/bin/python $(PIP) install .
	@$(RUN)/bin/mailwright version
	@touch $@

# Older versions of pip do not know dependency groups.
$(RUN)/.bench: $(RUN)/.installed
	@$(RUN)/bin/python $(PIP) install --upgrade "pip>=25.1"
	@$(RUN)/bin/python $(PIP) install --group test
	@touch $@

$(DEV)/.ready: pyproject.toml
	@echo "Making the development environment in $(DEV) ..."
	$(call environment,$(DEV))
	@$(DEV)/bin/python $(PIP) install --upgrade "pip>=25.1"
	@$(DEV)/bin/python $(PIP) install --editable . --group test --group lint
	@touch $@
