# `make demo` and `make test` are all that a new machine needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup setup-python setup-mxnet2 demo test lint test-python test-mxnet2 test-r check-r soak doc figures bench r python clean
# The recipes share .venv/, .Rlib/ and two cores' worth of threads.
.NOTPARALLEL:

BIN := $(CURDIR)/.venv/bin
# R finds diglot in .Rlib/ and the Python with diglot in .venv/; the user's own libraries stay as they are.
export R_LIBS := $(CURDIR)/.Rlib$(if $(R_LIBS),:$(R_LIBS))
export RETICULATE_PYTHON := $(BIN)/python
# A bare machine has no locale; R then reads UTF-8 as if it were ASCII.
ifeq ($(LC_ALL)$(LC_CTYPE)$(LANG),)
export LANG := C.UTF-8
endif

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

setup: ## install what is missing: R packages from the distribution, Python packages into .venv/
	@tools/setup.sh

setup-python: ## the same for the Python side alone, which never needs root
	@tools/setup.sh --python

setup-mxnet2:
	@tools/setup.sh --mxnet2

demo: setup .Rlib/diglot/DESCRIPTION ## train on handwritten digits from Python and from R, compare, write demo/report.html
	@$(BIN)/python tools/demo.py

test: setup setup-mxnet2 .Rlib/diglot/DESCRIPTION ## everything: ruff, pytest, also on MXNet 2.0, lintr, R CMD check with testthat and the vignettes
	@tools/test.sh

lint: setup .Rlib/diglot/DESCRIPTION ## ruff and lintr
	@tools/test.sh ruff lintr

test-python: setup-python ## ruff and pytest
	@tools/test.sh ruff pytest

test-mxnet2: setup-python setup-mxnet2 ## pytest on MXNet 2.0, in .venv-mxnet2/: what runs networks
	@tools/test.sh mxnet2

test-r: setup .Rlib/diglot/DESCRIPTION ## testthat alone, on the installed package
	@tools/test.sh testthat

check-r: setup ## R CMD check, with testthat and the vignettes
	@tools/test.sh check

# A share takes about that share of the time: DIGLOT_SOAK=0.1 make soak
soak: setup .Rlib/diglot/DESCRIPTION ## the long form of tests/durability/: kills, damaged files, long runs; takes hours
	@DIGLOT_SOAK=$${DIGLOT_SOAK:-1} tools/test.sh soak

doc: setup ## man/ and NAMESPACE from the comments in R/
	@Rscript --vanilla -e 'roxygen2::roxygenise(load_code = "source")'

figures: setup .Rlib/diglot/DESCRIPTION ## the pictures of README.md
	@Rscript --vanilla tools/figures.R

# What needs R is left out where there is none, and PyTorch, TensorFlow and JAX where they are not installed.
bench: setup-python $(if $(shell command -v Rscript),.Rlib/diglot/DESCRIPTION) ## all benchmarks into benchmarks/README.md; BENCH="--quick lenet" tries one
	@$(BIN)/python benchmarks/run_all.py $(BENCH)

r: setup .Rlib/diglot/DESCRIPTION ## a console of R that knows diglot
	@R --quiet --no-save

python: setup-python ## a console of Python that knows diglot
	@$(BIN)/python

# Installed anew when something in it changed; inst/python is a link to python/.
.Rlib/diglot/DESCRIPTION: DESCRIPTION NAMESPACE $(shell find R man inst/ python -type f -not -name '*.pyc' 2>/dev/null)
	@echo "installing diglot's R package into .Rlib/"
	@mkdir -p .Rlib
	@R CMD INSTALL --no-test-load --library=.Rlib . >.Rlib/install.log 2>&1 || { cat .Rlib/install.log; exit 1; }
	@touch $@

clean: ## remove what the other targets made, but for .venv/ and .Rlib/
	@rm -rf build demo dist diglot.Rcheck diglot_*.tar.gz .pytest_cache .ruff_cache
	@find python tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
