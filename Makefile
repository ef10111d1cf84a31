# Everything a developer runs. Each target makes the virtual environment it needs and keeps it; a second run is quick.
# Needs Python 3.11 or newer, make and pip; no compiler.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where the CPU build of torch lives; torch is only for `test-rivals` and `bench`.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes of the test run; timing tests want them few.
WORKERS ?= 2
# The module in benchmarks/ that `make bench` runs.
BENCH ?= compare

PIP := bin/python -m pip --disable-pip-version-check install --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-rivals check bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 18

demo: .venv/.demo ## train on 1,797 handwritten digits, and show the result
	.venv/bin/chainrule train digits

test: .venv/.dev ## every test that needs chainrule alone
	.venv/bin/python -m pytest --ignore tests/rivals -n $(WORKERS) --dist loadfile $(ARGS)

test-rivals: .venv-rivals/.rivals ## agreement with torch, in an environment of its own
	.venv-rivals/bin/python -m pytest tests/rivals $(ARGS)

check: .venv/.dev ## ruff, mypy --strict, order of imports, file lengths
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	@find src tests examples benchmarks -name '*.py' | xargs awk '\
	  FNR == 1 { if (n > 400 && !why) { print file ": " n " lines, and no `# long because:` line"; bad = 1 } file = FILENAME; why = 0 } \
	  /^# long because: / { why = 1 } { n = FNR } \
	  END { if (n > 400 && !why) { print file ": " n " lines, and no `# long because:` line"; bad = 1 } exit bad }'

bench: .venv-rivals/.rivals ## speed against torch, JAX and scikit-learn; BENCH=machine, busy ... for the others
	.venv-rivals/bin/python -m benchmarks.$(BENCH) $(ARGS)

clean: ## remove the environments and caches
	rm -rf .venv .venv-rivals .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml | .venv/bin/python
	@echo "installing chainrule with NumPy, Numba and Matplotlib into .venv (450 MB): half a minute or so"
	.venv/$(PIP) -e ".[plots]"
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	@echo "installing chainrule and the tools of its tests and checks into .venv (870 MB): half a minute or so"
	.venv/$(PIP) -e ".[all,test,check]"
	@touch $@ .venv/.demo

# torch comes first and alone, so that its index is asked for nothing else.
.venv-rivals/.rivals: pyproject.toml
	@echo "installing torch, JAX and scikit-learn into .venv-rivals (2 GB): some minutes"
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/$(PIP) --no-deps --extra-index-url $(TORCH_INDEX) "$$(sed -nE 's/.*"(torch==[0-9.]+)".*/\1/p' pyproject.toml)"
	$(@D)/$(PIP) -e ".[plots,test,rivals]"
	@touch $@
