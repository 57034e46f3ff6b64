"""Child processes for tests: each runs a module that the test writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.workers.child import Child

StartChild = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> StartChild:
    """A function `(program) -> Child` that runs the text of a module."""

    def start(program: str, **options: Any) -> Child:
        (tmp_path / "child_of_the_test.py").write_text(program)
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        environment = {"PYTHONPATH": path}
        return Child.start("the toy", "child_of_the_test", environment=environment, **options)

    return start
