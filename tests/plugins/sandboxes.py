"""The sandboxes that hold on this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import cache

import pytest

from gptoss_tui.tools.sandbox import Confinement, SandboxKind, probe


@cache
def _probed(*kinds: SandboxKind) -> Confinement:
    return asyncio.run(probe(kinds=kinds))


def _holding(*kinds: SandboxKind) -> Confinement:
    found = _probed(*kinds)
    if not found.works and not os.environ.get("CI"):
        pytest.skip(found.reason)
    assert found.works, f"{found.reason} In CI (the variable is set) every sandbox must hold."
    return found


@pytest.fixture(scope="session")
def holding() -> Callable[..., Confinement]:
    """`holding(*kinds)`: the first of these sandboxes that holds on this machine.

    Where none does, the test is skipped and says why; in CI, it fails.
    """
    return _holding


@pytest.fixture(scope="session")
def sandbox() -> Confinement:
    """The strongest sandbox of this machine, for tests in which code is confined, however that is done."""
    return _holding("bubblewrap", "landlock")


@pytest.fixture(scope="session")
def with_bubblewrap() -> Confinement:
    """For tests of what only bubblewrap does."""
    return _holding("bubblewrap")


@pytest.fixture(scope="session")
def with_landlock() -> Confinement:
    """For tests of what only Landlock does."""
    return _holding("landlock")
