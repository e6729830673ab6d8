# Two commands for a newcomer: `make demo` and `make test`. Each sets itself up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NVCC := $(or $(shell command -v nvcc),/usr/local/cuda/bin/nvcc)
SOURCES := $(shell find cpp cuda cmake python CMakeLists.txt pyproject.toml -type f -not -name '*.pyc')

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DELETE_ON_ERROR:
.PHONY: demo test lint test-cpp test-asan test-tsan test-aarch64 build-macos test-python clean

demo: $(VENV)/.installed
	@$(BIN)/alphaflops demo

test: lint test-cpp test-asan test-python

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-compile '.[onnx]'
	@touch $@

$(VENV)/.test-tools: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' # which knows groups
	$(BIN)/python -m pip install --quiet --no-compile --group test --group lint
	@touch $@

# The same package, from the folder of the C++ tests, so that the core is compiled once for both.
$(VENV)/.test-installed: $(VENV)/.test-tools $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation -C build-dir=build/dev \
	  -C cmake.define.ALPHAFLOPS_WERROR=ON '.[onnx]'
	@touch $@ $(VENV)/.installed

lint: $(VENV)/.test-tools $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.cpp' '*.hpp' '*.inl' | xargs $(BIN)/clang-format --dry-run --Werror

# The environment's cmake and ninja come first on PATH, so that nothing of the system is needed.
test test-cpp test-asan test-tsan test-aarch64 build-macos test-python lint: export PATH := $(CURDIR)/$(BIN):$(PATH)
test-cpp test-asan test-tsan test-aarch64: $(VENV)/.test-tools
test-cpp:
	cmake --preset dev -G Ninja -Wno-dev --log-level=WARNING
	cmake --build --preset dev
	ctest --preset dev
	$(BIN)/python tests/check_spills.py build/dev/libalphaflops.a
	@if [ -x "$(NVCC)" ]; then $(BIN)/python tests/check_cuda.py; \
	else echo "nvcc is not here: device code is only emulated"; fi

test-asan:
	cmake --preset asan -G Ninja -Wno-dev --log-level=WARNING
	cmake --build --preset asan
	ALPHAFLOPS_TEST_SHAPES=40 ctest --preset asan

test-tsan:
	cmake --preset tsan -G Ninja -Wno-dev --log-level=WARNING
	cmake --build --preset tsan
	ALPHAFLOPS_TEST_SHAPES=40 ctest --preset tsan

# Needs a cross compiler and QEMU; cmake/toolchains says which. What times things is left out, the heap, whose
# layout is not glibc's usual one there, and the emulation of GPUs, which takes long.
test-aarch64:
	cmake --preset aarch64 -G Ninja -Wno-dev --log-level=WARNING
	cmake --build --preset aarch64
	ctest --preset aarch64
	$(BIN)/python tests/check_spills.py --objdump aarch64-linux-gnu-objdump build/aarch64/libalphaflops.a

# Compiled and linked with zig's Clang and libc++; nothing of it can run here.
build-macos: $(VENV)/.test-tools
	$(BIN)/python -m pip install --quiet --no-compile ziglang
	cmake --preset macos -G Ninja -Wno-dev --log-level=WARNING
	cmake --build --preset macos

# Beside each other, one thread for each process: more would wait for each other. A check of times fails
# if it does three times: once may be a neighbour's doing.
test-python: $(VENV)/.test-tools $(VENV)/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not alone"
	$(BIN)/python -m pytest -m alone --reruns 2 --only-rerun AssertionError

clean:
	rm -rf build $(VENV)
