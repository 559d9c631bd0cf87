# Two commands do all the set-up: `make demo` and `make test`.
#
# TORCH_INDEX: on a laptop without an NVIDIA GPU, spare yourself gigabytes of CUDA packages:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
# With a GPU, or where pip is already set up to find a CPU build, leave it empty.
TORCH_INDEX ?=
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint format gallery docs clean

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and alone, so that its index cannot serve anything else
	@$(PIP) torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(PIP) -e ".[dev,simulate]"
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/faultwise demo $(if $(DATA),--data "$(DATA)")

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

gallery: $(VENV)/.installed
	$(BIN)/python examples/run.py

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(PIP) -e ".[docs]"
	@touch $@

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check src tests bench examples docs
	$(BIN)/ruff check src tests bench examples docs
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format src tests bench examples docs
	$(BIN)/ruff check --fix src tests bench examples docs

clean:
	rm -rf $(VENV) demo build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
