# `make demo` and `make test` are all that a fresh machine needs: Python 3.11+, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What videos are made with, and what only tests and several machines need besides.
RUNTIME := $(VENV)/.installed-runtime
TESTS := $(VENV)/.installed-tests
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help setup setup-tests demo test test-wheel lint check docs bench bench-campaign bench-capacity proof \
	proof-faults proof-containers proof-fuzz proof-money proof-words proof-alarms \
	schema docs clean

help:
	@echo "make demo    set up, render the campaign in briefs/, say where the videos lie"
	@echo "make test    set up and run the tests"
	@echo "make test-wheel  build the wheel, install it with the newest of everything in each Python here, render with it"
	@echo "make proof   campaigns at their size, killed daemons, every fault of an engine or a machine, broken files (an hour)"
	@echo "make proof-faults  two workers, and everything that can go wrong with machines (20 minutes)"
	@echo "make proof-containers  each service with what deploy/compose.yaml lets it write and know (a minute)"
	@echo "make proof-money  ten thousand prices, none read wrong; writes docs/money.md"
	@echo "make proof-fuzz  thousands of broken files and briefs"
	@echo "make proof-words  read 200 finished videos with OCR and compare them with their feed (tesseract from Debian)"
	@echo "make proof-alarms  sound briefs that are withheld, spoiled videos that are not (docs/alarms.md)"
	@echo "make bench   time a 60 s render against x264 alone"
	@echo "make bench-campaign  runs a minute, and where a run's time goes"
	@echo "make bench-capacity  finished videos an hour, by processes"
	@echo "make lint    ruff and the layer rules"
	@echo "make schema  write docs/*.schema.json from the models"
	@echo "make docs    build the documentation into build/docs"
	@echo "make clean   remove what was rendered (.pytoon)"

setup: $(RUNTIME)

setup-tests: $(TESTS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pytoon needs Python 3.11 or newer; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Pytoon and what it needs into $(VENV) (once, a minute or two) ..."
	@$(BIN)/python -m pip uninstall --quiet --yes pytoon 2>/dev/null || true  # Its former name.
	@$(PIP) --editable .
	@touch $@

$(TESTS): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Pytoon and what its tests need into $(VENV) (once, a minute or two) ..."
	@$(BIN)/python -m pip uninstall --quiet --yes pytoon 2>/dev/null || true  # Its former name.
	@$(PIP) --editable '.[dev]'
	@touch $(RUNTIME) $@

demo: setup
	@$(BIN)/pytoon render briefs
	@echo
	@echo "Look at them: open the video files above in any player;"
	@echo "  $(BIN)/pytoon sheet VIDEO -o sheet.jpg    lays a video's frames out on one picture"
	@echo "  $(BIN)/pytoon dev                         shows these runs and their checks in Dagster"

test: setup-tests
	@sh tests/ensure_programs.sh $(BIN) redis nginx browser
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-wheel: setup
	@$(BIN)/python tests/wheel.py

lint: setup-tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports

check: lint
	@$(BIN)/mypy

bench: setup-tests
	@$(BIN)/python tests/bench/render_ratio.py

bench-campaign: setup-tests
	@sh tests/ensure_programs.sh $(BIN) redis
	@$(BIN)/python tests/bench/campaign.py

proof: setup-tests
	@sh tests/ensure_programs.sh $(BIN) redis bubblewrap
	@$(BIN)/python -m pytest -s -o python_files='proof_*.py' tests/proofs

proof-faults: setup-tests
	@sh tests/ensure_programs.sh $(BIN) redis
	@$(BIN)/python -m pytest -s tests/proofs/proof_faults.py

proof-fuzz: setup-tests
	@$(BIN)/python -m pytest -s tests/proofs/proof_fuzz.py

proof-containers: setup-tests
	@sh tests/ensure_programs.sh $(BIN) redis bubblewrap
	@$(BIN)/python -m pytest -s tests/proofs/proof_containers.py

proof-money: setup-tests
	@$(BIN)/python -m pytest -s tests/proofs/proof_money.py

bench-capacity: setup-tests
	@$(BIN)/python tests/bench/capacity.py

schema: setup
	@$(BIN)/pytoon schema

docs: setup-tests
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/docs/index.html"

clean:
	rm -rf .pytoon

proof-words: setup-tests
	@$(BIN)/python -m pytest -s tests/proofs/proof_words.py

# PYTOON_PROOF_MEDIA names folders of pictures, clips, sounds and briefs to try as well.
proof-alarms: setup-tests
	@$(BIN)/python tests/proofs/proof_alarms.py
