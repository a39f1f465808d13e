# `make demo` and `make test` are all that a fresh machine needs: Python 3.11+, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test lint bench bench-campaign bench-capacity proof proof-faults proof-fuzz proof-alarms \
	schema clean

help:
	@echo "make demo    set up, render the campaign in briefs/, say where the videos lie"
	@echo "make test    set up and run the tests"
	@echo "make proof   campaigns at their size, killed daemons, every fault of an engine or a machine, broken files (an hour)"
	@echo "make proof-faults  two workers, and everything that can go wrong with machines (20 minutes)"
	@echo "make proof-fuzz  thousands of broken files and briefs"
	@echo "make proof-alarms  sound briefs that are withheld, spoiled videos that are not (docs/alarms.md)"
	@echo "make bench   time a 60 s render against x264 alone"
	@echo "make bench-campaign  runs a minute, and where a run's time goes"
	@echo "make bench-capacity  finished videos an hour, by processes"
	@echo "make lint    ruff and the import walls"
	@echo "make schema  write docs/*.schema.json from the models"
	@echo "make clean   remove what was rendered (.pytoon)"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pytoon needs Python 3.11 or newer; set PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Pytoon and what it needs (once, a minute or two) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/pytoon render briefs
	@echo
	@echo "Look at them: open the video files above in any player;"
	@echo "  $(BIN)/pytoon sheet VIDEO -o sheet.jpg    lays a video's frames out on one picture"
	@echo "  $(BIN)/pytoon dev                         shows these runs and their checks in Dagster"

test: setup
	@sh tests/ensure_browser.sh
	@sh tests/ensure_servers.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports

bench: setup
	@$(BIN)/python tests/bench/render_ratio.py

bench-campaign: setup
	@$(BIN)/python tests/bench/campaign.py

proof: setup
	@sh tests/ensure_servers.sh
	@$(BIN)/python -m pytest -s -o python_files='proof_*.py' tests/proofs

proof-faults: setup
	@sh tests/ensure_servers.sh
	@$(BIN)/python -m pytest -s tests/proofs/proof_faults.py

proof-fuzz: setup
	@$(BIN)/python -m pytest -s tests/proofs/proof_fuzz.py

bench-capacity: setup
	@$(BIN)/python tests/bench/capacity.py

schema: setup
	@$(BIN)/pytoon schema

clean:
	rm -rf .pytoon

# PYTOON_PROOF_MEDIA names folders of pictures, clips, sounds and briefs to try as well.
proof-alarms: setup
	@$(BIN)/python tests/proofs/proof_alarms.py
