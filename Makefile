# `make chat` opens gptoss-chat, `make test` checks it; both install what they need into .venv first.

VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)
ZIG   := $(VENV)/zig
BUILD := PYTHONPATH=$(ZIG) $(BIN)/python kernels/cpu/build.py
TARGETS := x86_64-linux aarch64-linux aarch64-macos
PROCESSORS := x86_64:max x86_64:Nehalem aarch64:max aarch64:neoverse-n1 aarch64:cortex-a53
UV    := $(VENV)/uv
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: chat install dev native cross emulate test test-fast test-slow mutants check lint format screenshot token-streams \
	limits demo-model demo-eval wheel clean

chat: install
	@$(BIN)/gptoss-chat

install: $(VENV)/.installed $(VENV)/.native

dev: $(VENV)/.dev $(VENV)/.native

# The kernels in C for this machine, again; `make install` does it whenever their sources are newer.
native: $(VENV)/.torch
	@$(build_native)

# The kernels compile for other machines, with a compiler that is fetched for it.
cross: $(ZIG)
	@for target in $(TARGETS); do \
		GPTOSS_NATIVE_BUILD=zig $(BUILD) --target $$target --into build/$$target || exit 1; \
	done

# And run on them: on processors with more and with fewer instructions, emulated. The last of each kind has but
# what all have. Debian: apt-get install qemu-user libc6-arm64-cross
emulate: cross
	@for processor in $(PROCESSORS); do \
		machine=$${processor%%:*}; folder=build/$$machine-linux; \
		PYTHONPATH=$(ZIG) $(BIN)/python -m ziglang cc -O2 -pthread -target $$machine-linux-gnu.2.17 -Ikernels/cpu/source \
			tests/kernels/native.c $$folder/native-*.so -o $$folder/native -lm || exit 1; \
		echo "On $$processor:"; \
		qemu-$$machine -L /usr/$$machine-linux-gnu -cpu $${processor#*:} $$folder/native || exit 1; \
	done

cross emulate: export ZIG_GLOBAL_CACHE_DIR = $(CURDIR)/$(ZIG)/cache
cross emulate: export ZIG_LOCAL_CACHE_DIR = $(CURDIR)/$(ZIG)/cache

# A sandbox that this machine does not give is left out by name; with CI set, that is a failure. TESTS are
# arguments for pytest.
test: check
	$(BIN)/pytest $(TESTS)

# What needs no screen, no sandbox and no engine's process, but for the widest searches: under two minutes on two
# cores.
test-fast: dev
	$(BIN)/pytest tests/docs tests/events tests/harmony tests/kernels tests/kinds tests/plain tests/settings tests/workers \
		tests/tui/pictures tests/tui/terminal tests/agent/test_turn.py tests/calls/test_tool_loop.py \
		tests/history/test_store.py tests/model/test_config.py tests/model/test_hub.py tests/model/test_sampling.py \
		--ignore=tests/harmony/test_parse_fuzz.py --ignore=tests/harmony/test_render_official.py

test-slow: dev
	$(BIN)/pytest -m slow

# Controls taken out one at a time, each of which a test must miss. ONLY are words of their names.
mutants: dev
	$(BIN)/python tests/mutants.py $(ONLY)

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The name it had.
lint: check

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshot: dev
	$(BIN)/python docs/draw_screenshot.py

token-streams: dev
	$(BIN)/python docs/draw_token_streams.py

limits: dev
	$(BIN)/python docs/draw_limits.py

demo-model: dev
	$(BIN)/python -m gptoss_tui.training.train
	$(BIN)/python -m gptoss_tui.training.evaluate

demo-eval: dev
	$(BIN)/python -m gptoss_tui.training.evaluate

# With zig's compiler, so that the wheel is good for any Linux of that processor.
wheel: dev
	GPTOSS_NATIVE_BUILD=$${GPTOSS_NATIVE_BUILD:-zig} $(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist kernels/cpu/native-*.so *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The rest is how .venv is made. A torch that is there already is kept, whatever its build: so its pin is taken
# out of the constraints of every later step. The kernels in C are a step of their own, which nothing waits for in
# vain: where they cannot be built, the program runs without them.

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	@echo "Installing gptoss-chat into $(VENV) ..."
	@GPTOSS_NATIVE_BUILD=off $(PIP) install -qq --editable . --constraint $(VENV)/constraints.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@echo "Installing gptoss-chat and what its tests need into $(VENV) ..."
	@GPTOSS_NATIVE_BUILD=off $(PIP) install -qq --editable '.[dev]' --constraint $(VENV)/constraints.txt
	@touch $@ $(VENV)/.installed

$(VENV)/.native: kernels/cpu/build.py $(wildcard kernels/cpu/source/*.[ch] kernels/cpu/source/*/*.[ch]) | $(VENV)/.torch
	@echo "Compiling the kernels in C ..."
	@$(build_native)
	@touch $@

define build_native
if $(BUILD) --needs-zig; then \
	echo "No C compiler works here: fetching one for the moment (the package ziglang, 0.1 GB) ..."; \
	$(MAKE) --no-print-directory $(ZIG); \
fi; \
$(BUILD) || echo "So the model runs on plain PyTorch, which is slower; \`make native\` tries again." >&2; \
rm -rf $(ZIG)
endef

$(ZIG): constraints.txt | $(VENV)/.torch
	@$(PIP) install -qq --retries 1 --upgrade --target $@ --constraint constraints.txt ziglang
	@touch $@

$(VENV)/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "gptoss-chat needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq 'pip>=24'
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' || { $(install_torch); }
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	@touch $@

# torch for Linux comes in builds. Most places serve the CUDA build (about 3 GB with its libraries) unless told
# otherwise, so without an NVIDIA card ask first what pip would fetch. uv knows where the CPU build is; what that
# depends on is left to pip, which knows this machine's mirrors.
define install_torch
if [ -n "$(TORCH_INDEX)" ]; then \
	echo "Installing $(TORCH) from $(TORCH_INDEX) ..."; \
	$(PIP) install -qq --index-url "$(TORCH_INDEX)" "$(TORCH)" || exit 1; \
elif ! [ -e /dev/nvidia0 ] && ! command -v nvidia-smi >/dev/null \
		&& $(PIP) install -qq --dry-run --report - "$(TORCH)" | grep -q '"name": "nvidia[-_]'; then \
	echo "Installing $(TORCH), the build for the CPU ..."; \
	{ $(PIP) install -qq --retries 1 --target $(UV) --constraint constraints.txt uv \
		&& UV_HTTP_RETRIES=1 $(UV)/bin/uv pip install --no-cache --python $(BIN)/python --torch-backend=cpu \
			--no-deps "$(TORCH)"; } >/dev/null 2>&1 \
		|| echo "It cannot be had from here. The CUDA build, which comes instead, runs on a CPU too, but is about" \
			"3 GB; make TORCH_INDEX=ADDRESS takes another (README.md)." >&2; \
	rm -rf $(UV); \
else \
	echo "Installing $(TORCH) ..."; \
fi; \
$(PIP) install -qq "$(TORCH)"
endef
