"""The log of the screen: whole tracebacks, nothing that acts on a terminal, one reader, a bounded size."""

from __future__ import annotations

import logging
from pathlib import Path

from gptoss_tui.tui.log import LARGEST, ScreenLog


def _record(message: str, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("here", logging.ERROR, "here.py", 1, message, None, info)


def test_it_says_what_went_wrong_to_its_owner(tmp_path: Path) -> None:
    log = ScreenLog(tmp_path / "state" / "screen.log")
    assert not (tmp_path / "state").exists(), "nothing went wrong yet"
    try:
        raise ValueError("\x1b]0;owned\x07 \ud800")
    except ValueError as error:
        log.handle(_record("it failed", error))
    written = log.path.read_text()
    assert "it failed" in written and "raise ValueError" in written and "␛]0;owned␇ \ufffd" in written
    assert log.path.stat().st_mode & 0o777 == 0o600
    assert log.is_whole


def test_it_stays_small(tmp_path: Path) -> None:
    log = ScreenLog(tmp_path / "screen.log")
    for number in range(100):
        log.handle(_record(f"{number} " + "x" * (LARGEST // 10)))
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= LARGEST and path.stat().st_mode & 0o777 == 0o600 for path in files)
    assert "99 x" in log.path.read_text()


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    log = ScreenLog(tmp_path / "log" / "screen.log")
    log.handle(_record("it failed"))
    assert not log.is_whole
