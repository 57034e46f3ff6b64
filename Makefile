# `make chat` opens gptoss-chat, `make test` checks it; both install what they need into .venv first.

VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: chat install dev test test-fast test-slow check lint format screenshot token-streams limits \
	demo-model demo-eval wheel clean

chat: install
	@$(BIN)/gptoss-chat

install: $(VENV)/.installed

dev: $(VENV)/.dev

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

wheel: dev
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The rest is how .venv is made. A torch that is there already is kept, whatever its build: so its pin is taken
# out of the constraints of every later step.

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	@echo "Installing gptoss-chat into $(VENV) ..."
	@$(PIP) install -qq --editable . --constraint $(VENV)/constraints.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@echo "Installing gptoss-chat and what its tests need into $(VENV) ..."
	@$(PIP) install -qq --editable '.[dev]' --constraint $(VENV)/constraints.txt
	@touch $@ $(VENV)/.installed

$(VENV)/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "gptoss-chat needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq 'pip>=24'
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' || $(install_torch)
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	@touch $@

# torch for Linux comes in builds. Most places serve the CUDA build (about 3 GB with its libraries) unless told
# otherwise, so without an NVIDIA card ask first what pip would fetch.
define install_torch
if [ -n "$(TORCH_INDEX)" ]; then \
	echo "Installing $(TORCH) from $(TORCH_INDEX) ..."; \
	$(PIP) install -qq --index-url "$(TORCH_INDEX)" "$(TORCH)"; \
elif ! [ -e /dev/nvidia0 ] && ! command -v nvidia-smi >/dev/null \
		&& $(PIP) install -qq --dry-run --report - "$(TORCH)" | grep -q '"name": "nvidia-'; then \
	echo "This machine shows no NVIDIA card, and pip would fetch the CUDA build of torch: about 3 GB of no use here." >&2; \
	echo "Take the CPU build instead (0.2 GB): open the selector of pytorch.org, choose Linux, Pip, CPU, and give" >&2; \
	echo "the address it shows after --index-url:    make $(firstword $(MAKECMDGOALS) chat) TORCH_INDEX=ADDRESS" >&2; \
	echo "Or install any torch of your own choice first, and run make again:    $(BIN)/pip install torch" >&2; \
	exit 1; \
else \
	echo "Installing $(TORCH) ..."; \
	$(PIP) install -qq "$(TORCH)"; \
fi
endef
