# The commands of daily work; CI runs these and nothing else.
PYTHON ?= python
PYTEST_ARGS ?= -n 2
DIST ?= dist

.DEFAULT_GOAL := help
.PHONY: help check test build proto prototxt

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

check:  ## style, types, the order of rooms, and that the written network files are current
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'
	$(PYTHON) -m dongfeng.architectures --check
	$(PYTHON) -m dongfeng.layers --check

test:  ## all tests but those that need the internet or a GPU
	$(PYTHON) -m pytest $(PYTEST_ARGS)

build:  ## source distribution and wheel, in dist/
	$(PYTHON) -m build --outdir $(DIST)

proto:  ## compile dongfeng/caffe/caffe.proto into caffe_schema.binpb
	$(PYTHON) -m dongfeng.caffe.schema

prototxt:  ## rewrite prototxt/ from the architecture code
	$(PYTHON) -m dongfeng.architectures
