"""Logs: only their owner can read them, their size is bounded, and they never cause a failure."""

from __future__ import annotations

import stat
from pathlib import Path

from gptoss_tui.workers.log import KEPT, LARGEST, open_log


def test_the_log_is_private_and_bounded(tmp_path: Path) -> None:
    log = tmp_path / "state" / "engine.log"
    for _ in range(KEPT + 2):
        with open_log(log) as file:
            file.truncate(LARGEST + 1)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700
    names = sorted(file.name for file in log.parent.iterdir())
    assert names == ["engine.log", "engine.log.1", "engine.log.2"]


def test_without_a_place_for_the_log_nothing_is_lost_but_the_log() -> None:
    for path in (None, Path("/proc/nowhere/engine.log")):
        with open_log(path) as file:
            file.write(b"lost")


def test_a_log_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    log = tmp_path / "python.log"
    log.write_text("x" * (LARGEST + 1))
    log.chmod(0o666)
    with open_log(log) as file:
        file.write(b"new")
    assert log.read_text() == "new"
    for kept in (log, tmp_path / "python.log.1"):
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
