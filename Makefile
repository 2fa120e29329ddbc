# Everything from nothing: `make demo` or `make test` on a machine with Python, a C/C++ compiler and make.
# tools/bootstrap.py sets up what is missing (a virtual environment, ROS 2, the build of our interfaces) and runs
# the command in it; where a ROS 2 is sourced it uses that one.

DISTRO ?= jazzy
ARGS ?=

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))
CANDIDATES := python3 python3.12 python3.13 python3.11 python3.10 python3.14
PYTHON ?= $(shell for python in $(CANDIDATES); do $$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
# An environment that is there already is kept, whatever its Python, unless PYTHON was given.
WANTED := $(if $(filter file,$(origin PYTHON)),,--python '$(PYTHON)')
IN_ENVIRONMENT = @$(PYTHON) tools/bootstrap.py --distro '$(DISTRO)' $(WANTED) --

.PHONY: help demo test lint build clean distclean python

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@echo '  PYTHON=python3.12   which Python to set up with (3.10 to 3.14)'
	@echo '  DISTRO=kilted       which ROS 2 to set up, jazzy (default) or kilted'
	@echo "  ARGS='...'          handed on, as in: make demo ARGS=--live, make test ARGS='-k geometry'"

demo: python ## synthetic camera and node, a change of labels, a table, a picture in out/demo.png
	$(IN_ENVIRONMENT) python -m lseg_ros.demo.demo $(ARGS)

test: python ## every test, those over real DDS included
	$(IN_ENVIRONMENT) python -m pytest --require ros $(ARGS)

lint: python ## ruff and mypy
	$(IN_ENVIRONMENT) ruff check
	$(IN_ENVIRONMENT) mypy

build: python ## set up and build, run nothing
	$(IN_ENVIRONMENT) true

clean: ## remove what was built, keep what was installed
	rm -rf .venv*/workspace build install log out *.egg-info .*_cache .hypothesis .benchmarks
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## remove the virtual environments as well
	rm -rf .venv .venv-*

python:
	@test -n '$(PYTHON)' && $(PYTHON) -c '$(SUPPORTED)' || { echo "This needs Python 3.10 to 3.14, which" \
	  "'$(or $(PYTHON),python3)' is not: install one and name it, as in: make $(or $(MAKECMDGOALS),demo)" \
	  "PYTHON=python3.12" >&2; exit 1; }
