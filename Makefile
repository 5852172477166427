# Everything a developer does, each with one command. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Changes of these rebuild the extension module; Python sources are used where they are.
BUILD_INPUTS := build_ffi.py setup.py pyproject.toml csrc $(shell find csrc)

.PHONY: help demo test coverage check fuzz bench bench-plot record-instructions fmt lib dist clean

help:
	@echo "make demo    train a graph on handwritten digits, with plots"
	@echo "make test    all tests: C, then Python (PYTEST_ARGS='-k name' selects)"
	@echo "make check-ulps  every float through every transcendental kernel (ULPS_ARGS='\"\" avx2,avx512 float' are minutes)"
	@echo "make coverage  all Python tests, which must come to each line of the modules and optimisers"
	@echo "make check   style, types, sanitizers, symbols, size, NEON, documents, counts of instructions"
	@echo "make check-arm   of that what is for aarch64, by qemu-user: C tests, and all cases of ops"
	@echo "make fuzz    damaged files by the thousand, FUZZ_SECONDS=60 for each reader"
	@echo "make bench   time it beside NumPy, PyTorch and ONNX Runtime (BENCH_ARGS='--suite graphs' selects)"
	@echo "make bench-plot   draw what suites of graphs and kernels measured, write docs/performance.md"
	@echo "make record-instructions   count the instructions of kernels anew, for make check"
	@echo "make fmt     format all sources"
	@echo "make lib     the C library, static and shared, in build/release"
	@echo "make dist    sdist and wheel, checked, in dist"
	@echo "make clean   remove all that was made"

demo: $(VENV)/.demo
	$(BIN)/python examples/digits.py

test: $(VENV)/.test
	@status=0; \
	tools/c_tests.sh release || status=1; \
	$(BIN)/python -m pytest $(PYTEST_ARGS) || status=1; \
	exit $$status

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

bench-plot: $(VENV)/.bench
	$(BIN)/python benchmarks/plot.py $(PLOT_ARGS)

# By line: branches that are never taken are looked at with `coverage` itself, whose settings are in pyproject.toml.
coverage: $(VENV)/.test
	$(BIN)/python -m coverage run --rcfile=/dev/null --source=pynngraph/nn,pynngraph/optim -m pytest $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --rcfile=/dev/null --show-missing --skip-covered --fail-under=100

lib:
	@command -v cmake >/dev/null || { echo "make lib needs CMake: sudo apt install cmake"; exit 1; }
	cmake -S . -B build/release
	@env -u MAKEFLAGS -u MAKELEVEL cmake --build build/release --parallel 2 --target pynngraph pynngraph_static
	@tools/library_size.sh build/release

dist: $(VENV)/.dev
	$(BIN)/python tools/check_dist.py

clean:
	rm -rf $(VENV) build dist *.egg-info pynngraph/_pynngraph*.so .*_cache .hypothesis .benchmarks .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- checks: `make -k check` goes on after one that fails ---------------------------------------

CHECKS := text ruff format types clang-format docs release sanitize tsan arm symbols size install embedded instructions
.PHONY: $(CHECKS:%=check-%)
check: $(CHECKS:%=check-%)
	@echo "All checks passed."

PY_FILES := $(wildcard *.py pynngraph tests tools examples benchmarks docs)
C_FILES = $(shell $(BIN)/python tools/check_text.py --list-c)

check-text: $(VENV)/.created
	$(BIN)/python tools/check_text.py

check-ruff: $(VENV)/.dev
	$(BIN)/ruff check --quiet $(PY_FILES)

check-format: $(VENV)/.dev
	$(BIN)/ruff format --quiet --diff $(PY_FILES)

check-types: $(VENV)/.dev
	$(BIN)/mypy

check-clang-format: $(VENV)/.dev
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)

check-docs: $(VENV)/.installed
	$(if $(wildcard docs/make_ops.py),$(BIN)/python docs/make_ops.py --check)

check-release check-sanitize check-tsan: check-%:
	tools/c_tests.sh $*

check-arm: $(VENV)/.installed
	tools/check_arm.sh $(BIN)/python

.PHONY: check-ulps
check-ulps: check-release
	build/release/test_ulps --all $$(nproc) $(ULPS_ARGS)

check-symbols check-size check-install: check-%: check-release $(VENV)/.installed
	tools/check_$*.sh build/release

check-embedded:
	tools/check_embedded.sh

check-instructions: check-release $(VENV)/.created
	$(BIN)/python tools/count_instructions.py build/release

record-instructions: check-release $(VENV)/.created
	$(BIN)/python tools/count_instructions.py build/release --record

FUZZ_SECONDS ?= 60
fuzz: $(VENV)/.test
	tools/fuzz.sh $(FUZZ_SECONDS)
	$(BIN)/python tools/fuzz_readers.py $(FUZZ_SECONDS)

fmt: $(VENV)/.dev
	$(BIN)/python docs/make_ops.py
	$(BIN)/ruff check --fix --exit-zero --silent $(PY_FILES)
	$(BIN)/ruff format $(PY_FILES)
	$(BIN)/clang-format -i $(C_FILES)

# ---- the virtual environment --------------------------------------------------------------------

$(VENV)/.created:
	tools/bootstrap.sh $(PYTHON) $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created $(BUILD_INPUTS)
	$(BIN)/python -m pip install --quiet --editable .
	@$(BIN)/python -m compileall -q pynngraph # also where the environment forbids to write bytecode
	@touch $@

# The package is there already: this adds what an extra asks for, and builds nothing.
$(VENV)/.demo $(VENV)/.test $(VENV)/.bench $(VENV)/.dev: $(VENV)/.%: pyproject.toml | $(VENV)/.installed
	$(BIN)/python -m pip install --quiet "pynngraph[$*]"
	@touch $@
