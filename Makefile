# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ZOO    := .venv-zoo
# one thread a process: two processes with one thread each beat one with two
export OMP_NUM_THREADS ?= 1
export EOCAUSAL_SHARED ?= $(abspath ../shared)

.DEFAULT_GOAL := help
.PHONY: help demo test zoo lint docs bench gpu slow replications clean

help:            ## show the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(STAMP)

demo: $(STAMP)   ## set up, simulate a region, run the main job on it and write demo_output/report.html
	$(BIN)/eocausal demo --out demo_output

test: $(STAMP) lint docs zoo  ## set up and run every check: style, types, layers, documentation, tests, docstring examples, notebooks
	$(BIN)/python -m pytest -n 2 --dist loadfile

# what needs torchvision lives apart, in an environment that borrows all else from the first
$(ZOO)/.installed: $(STAMP)
	test -x $(ZOO)/bin/python || $(PYTHON) -m venv $(ZOO)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])" > "$$($(ZOO)/bin/python -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")/base.pth"
	$(ZOO)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[timm,torchgeo,terratorch,olmoearth,open-clip]"
	touch $@

zoo: $(ZOO)/.installed  ## test the encoders of timm, torchgeo, terratorch, olmoearth and open_clip in their environment
	EOCAUSAL_ZOO=1 $(ZOO)/bin/python -m pytest tests/zoo -q

lint: $(STAMP)   ## style (ruff), types (mypy) and import layers (import-linter)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)   ## build the documentation into docs/_build/html
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html

bench: $(STAMP)  ## run every benchmark in its quick form
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	for script in benchmarks/*.py; do $(BIN)/python $$script --quick || exit 1; done

gpu: $(STAMP)    ## tests and benchmark of encoding on a GPU, where there is one
	$(BIN)/python -m pytest -q -rs tests/integration/test_gpu.py tests/unit/test_pretrain.py -k gpu
	$(BIN)/python benchmarks/embed.py --device cuda

slow: $(STAMP)   ## long simulations: coverage of intervals, size and power of RATE
	$(BIN)/python -m pytest -n 1 -m slow -s tests/simulation tests/integration

replications: $(STAMP)  ## run the replications on public data (see replications/README.md) into out/
	for script in replications/*/replicate.py; do MPLBACKEND=Agg $(BIN)/python $$script || exit 1; done

clean:           ## remove the environment and everything made
	rm -rf $(VENV) $(ZOO) build dist *.egg-info demo_output out docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis
