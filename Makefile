# `make demo` and `make test` need only Python, a C/C++ compiler and make. tools/bootstrap.py sets up the rest (a virtual
# environment, ROS 2, our interfaces) and runs the command there. If a ROS 2 is sourced, it uses that one.

DISTRO ?= jazzy
ARGS ?=
MINUTES ?=

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))
CANDIDATES := python3 python3.12 python3.13 python3.11 python3.10 python3.14
PYTHON ?= $(shell for python in $(CANDIDATES); do $$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
# An existing environment keeps its Python unless PYTHON is given.
INTERPRETER := $(if $(filter file,$(origin PYTHON)),,--python '$(PYTHON)')
IN_ENVIRONMENT = @$(PYTHON) tools/bootstrap.py --distro '$(DISTRO)' $(INTERPRETER) --

.PHONY: help demo test lint fuzz soak gpu build clean distclean python

help: ## show this help
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@echo '  PYTHON=python3.12   Python to use (3.10 to 3.14)'
	@echo '  DISTRO=kilted       ROS 2 to install: jazzy (default) or kilted'
	@echo "  ARGS='...'          extra arguments, as in: make demo ARGS=--live, make test ARGS='-k geometry'"

demo: python ## run the node with a synthetic camera and a real recording, write scores and pictures to out/
	$(IN_ENVIRONMENT) python -m lseg_ros.demo.demo $(ARGS)

test: python ## run all tests, including those over real DDS
	$(IN_ENVIRONMENT) python -m pytest --require ros --numprocesses 2 $(ARGS)

lint: python ## check style and types with ruff and mypy
	$(IN_ENVIRONMENT) ruff check
	$(IN_ENVIRONMENT) ruff format --check
	$(IN_ENVIRONMENT) mypy

fuzz: python ## run the tests of hostile input with new examples (MINUTES=10)
	$(IN_ENVIRONMENT) python -m test.fuzz --minutes '$(or $(MINUTES),10)' $(ARGS)

soak: python ## run the node among restless programs, check memory, threads and masks (MINUTES=60)
	$(IN_ENVIRONMENT) python -m benchmarks.soak --minutes '$(or $(MINUTES),60)' $(ARGS)

gpu: python ## check and measure what needs a GPU in less than four minutes, write out/gpu.json (on a CPU: a rehearsal)
	$(IN_ENVIRONMENT) python -m benchmarks.gpu $(ARGS)

build: python ## set up the environment and build the package
	$(IN_ENVIRONMENT) true

clean: ## remove build results, keep the virtual environments
	rm -rf .venv*/workspace build install log out *.egg-info .*_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove build results and virtual environments
	rm -rf .venv .venv-*

python:
	@test -n '$(PYTHON)' && $(PYTHON) -c '$(SUPPORTED)' || { echo "expected Python 3.10 to 3.14," \
	  "got '$(or $(PYTHON),python3)': install one and name it, as in: make $(or $(MAKECMDGOALS),demo)" \
	  "PYTHON=python3.12" >&2; exit 1; }
