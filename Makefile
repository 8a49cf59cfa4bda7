# Every target sets up what it needs by itself; a second call installs nothing again.

VENV ?= .venv
# Where torch comes from, if not from pip's own index; see `make help`.
TORCH_INDEX ?=
TORCH_CPU := https://download.pytorch.org/whl/cpu
TORCH := $(shell grep '^torch==' constraints.txt)
# The first Python on this machine that is new enough; empty if there is none.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$candidate && break; done)
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test slow check bench setup clean

help:
	@echo "make demo   run everything on the built-in shop and write a report to open"
	@echo "make test   run the tests"
	@echo "make slow   run the long tests"
	@echo "make check  lint (ruff) and check types (mypy, strict)"
	@echo "make bench  measure speed and memory (about 20 minutes; SECTIONS='ranking epochs' measures less)"
	@echo "make setup  only install what the targets above need"
	@echo "make clean  remove the environment and all caches; data, runs and reports stay"
	@echo
	@echo "On Linux without an NVIDIA GPU, spare yourself the CUDA build of torch (gigabytes):"
	@echo "  make demo TORCH_INDEX=$(TORCH_CPU)"
	@echo "PYTHON=... names the interpreter (3.11 or newer), VENV=... the folder of the environment."

demo: $(VENV)/.installed
	@echo "alnico: running the demo"
	@$(VENV)/bin/alnico demo

test: $(VENV)/.installed-dev
	@echo "alnico: running the tests, one process per core"
	@$(VENV)/bin/python -m pytest -n logical --maxprocesses 8 --dist loadfile

slow: $(VENV)/.installed-dev
	@echo "alnico: running the long tests"
	@$(VENV)/bin/python -m pytest -m slow

check: $(VENV)/.installed-dev
	@echo "alnico: ruff"
	@$(VENV)/bin/ruff check .
	@echo "alnico: mypy"
	@$(VENV)/bin/mypy

bench: $(VENV)/.installed-dev
	@echo "alnico: measuring speed"
	@$(VENV)/bin/python -m benchmarks.run $(SECTIONS) $(if $(WRITE),--write $(WRITE))

setup: $(VENV)/.installed-dev
	@echo "alnico: everything is installed in $(VENV)"

$(VENV)/.made:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "alnico needs Python 3.11 or newer; $(or $(PYTHON),python3) is" \
			"$$($(or $(PYTHON),python3) --version 2>/dev/null || echo not there)." \
			"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@echo "alnico: making a Python environment in $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv "$(VENV)"
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@if $(VENV)/bin/python -c 'from importlib.metadata import version; version("torch")' 2>/dev/null; then \
		true; \
	elif [ -n "$(TORCH_INDEX)" ]; then \
		echo "alnico: installing $(TORCH) from $(TORCH_INDEX) (the CPU build is about 200 MB to download)"; \
		$(PIP) --no-deps --index-url "$(TORCH_INDEX)" "$(TORCH)"; \
	elif [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
		echo "alnico: no NVIDIA GPU was found, but for Linux the public package index offers only the CUDA build of torch:"; \
		echo "        2.5 to 3 GB to download instead of about 200 MB. To avoid that, press Ctrl-C now and run"; \
		echo "            make $(or $(firstword $(MAKECMDGOALS)),demo) TORCH_INDEX=$(TORCH_CPU)"; \
	fi
	@echo "alnico: installing what alnico runs on (about 220 MB to download besides torch; takes minutes, silently)"
	@$(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "alnico: installing the tools for tests and checks (about 220 MB to download)"
	@$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "alnico: removed the environment and the caches; data, runs and reports were left alone"
