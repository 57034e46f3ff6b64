"""The installed `gptoss-chat`, run as a person runs it: a process of its own, in a folder of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from errno import ENOSYS
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.tools.sandbox import bpf, narrow, syscalls

COMMAND = Path(sys.executable).parent / "gptoss-chat"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command() -> str:
    """The path of the installed command."""
    return str(COMMAND)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A person's environment with nothing of ours set and a home of its own."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("GPTOSS_CHAT_", "XDG_"))
    }
    home = tmp_path_factory.mktemp("home")
    return kept | {"HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}


@pytest.fixture(scope="session")
def run(environment: Mapping[str, str]) -> Run:
    """A function `(*arguments, stdin="") -> finished process`; nothing is a terminal."""

    def run(*arguments: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=environment["HOME"],
            env={**environment, **extra},
            check=False,
        )

    return run


@pytest.fixture
def sandbox() -> None:
    """For tests in which the model runs Python."""
    if os.environ.get("GPTOSS_TESTS_WITHOUT_SANDBOX"):
        pytest.skip("without a sandbox there is no Python")


@pytest.fixture(scope="session")
def endless(tiny_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that, when greedy, never ends its answer."""
    return tiny_checkpoint(tmp_path_factory.mktemp("endless"), max_position_embeddings=131072)


@pytest.fixture(scope="session")
def unconfinable(environment: Mapping[str, str]) -> Run:
    """The same as `run`, on a machine with no sandbox: its kernel has no Landlock, and bwrap is not found."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        architecture = syscalls.here()
        assert architecture is not None
        refusal = bpf.Refusal(narrow.CREATE_RULESET, ENOSYS)
        filter_ = bpf.assemble(bpf.program([refusal], architecture.audit, refuse_x32=False))
        spec: dict[str, Any] = {
            "limits": {},
            "landlock": None,
            "filter": base64.b64encode(filter_).decode(),
            "stand_ins": [],
            "environment": {**environment, "PATH": "/nowhere"},
        }
        return subprocess.run(
            [sys.executable, narrow.__file__, json.dumps(spec), str(COMMAND), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
