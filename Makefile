# make demo: install into .venv and show all of mueca on two drawn actors
# make test: install into .venv and run every test but the longest
# make test-long: those: kills, fuzzing, the benchmark of landmarks; some four minutes

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-long lint clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --editable '.[train,dev]'
	touch $@

demo: install
	$(BIN)/mueca demo demo

# Two processes of one thread each: threads of both would wait for each other.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not by_hand" --numprocesses auto --dist loadfile
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --numprocesses auto --dist loadfile

test-long: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m by_hand --numprocesses auto --dist loadfile

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist src/*.egg-info
