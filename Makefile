# Thin aliases: run.py is the real thing.

UV ?= uv
COMPILE = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

.PHONY: start test test-services check format lock upgrade openapi screenshots

start:
	python3 run.py

test:
	python3 run.py test

test-services:
	python3 run.py test --services

check:
	python3 run.py check

format:
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Both locks again from pyproject.toml, keeping the versions that still fit; `make upgrade` takes the newest.
lock:
	$(COMPILE) --output-file requirements/runtime.txt
	$(COMPILE) --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt

upgrade:
	$(COMPILE) --upgrade --output-file requirements/runtime.txt
	$(COMPILE) --upgrade --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt

openapi:
	python3 run.py manage spectacular --format openapi-json --validate --file docs/openapi.json

# The README's pictures, from a running site; needs a Chromium.
screenshots:
	.venv/bin/python -m tests.browser.screenshots docs/img
