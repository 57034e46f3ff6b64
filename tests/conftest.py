"""What holds for every test: folders of its own, and no clock. Fixtures of several rooms are in plugins/."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

pytest_plugins = ["checkpoints", "networks", "processes", "sandboxes", "servers", "sessions"]

# Threads of torch wait for each other at every operation: beside other work, a time slice each time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hypothesis measures time by the clock, which a busy machine makes long.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep configuration, data, cache and logs of the tests away from the person's own."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CONFIG", "DATA", "CACHE", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(tmp_path_factory.mktemp(kind.lower())))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what the kind of sandbox may change: what asks for one, and all that drives the command."""
    asking = {"holding", "sandbox", "with_bubblewrap", "with_landlock"}
    for item in items:
        if "end_to_end" in item.path.parts or asking & set(getattr(item, "fixturenames", ())):
            item.add_marker("sandbox")
