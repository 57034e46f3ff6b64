"""`gptoss-chat doctor`: what works here, what does not, and what would mend it. Changes nothing.

Each topic is a function that gives lines of a name and what there is to say, and adds to `complaints` what
keeps a conversation from working as it is set.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ...events.printable import printable
from ...history.store import default_file, files_folder
from ...model.checkpoint import open_checkpoint
from ...model.engine.survey import survey
from ...model.errors import CheckpointError
from ...plain.show import complain
from ...settings import Settings, config_file, read_settings
from ...tools.sandbox import Confinement, probe
from ...workers.log import log_path

Lines = Iterator[tuple[str, str]]


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-m", "--model", metavar="MODEL", help="look at this model, not the one that is set")
    parser.add_argument("--device", metavar="DEVICE", help="where it would run: auto, cpu, cuda, cuda:N")


def run(given: Namespace) -> int:
    """Print what there is to know; 1 if a conversation would not work as it is set, with the reason."""
    flags = {name: value for name, value in vars(given).items() if value is not None}
    settings = read_settings(flags, os.environ)
    complaints: list[str] = []
    print(f"gptoss-chat {__version__}")
    topics = {
        "The model's Python": _python(settings, complaints),
        "The runtime": _runtime(settings, complaints),
        "Files": _files(),
        "The terminal": _terminal(),
    }
    for heading, lines in topics.items():
        print(f"\n{heading}", flush=True)
        for name, said in lines:
            print(f"  {name:<15}{printable(said)}", flush=True)
    for complaint in complaints:
        complain(complaint)
    return 1 if complaints else 0


def _python(settings: Settings, complaints: list[str]) -> Lines:
    if "python" not in settings.tools:
        yield "setting", "off (tools)"
        return
    mode = "danger-full-access" if settings.bypass else settings.sandbox
    yield "setting", mode
    found = asyncio.run(probe(settings.container))
    yield "sandbox", found.reason
    for failure in found.failures:
        yield failure.kind, f"does not hold: {failure.why}"
        if failure.mend:
            yield "", f"would help: {failure.mend}"
    if not settings.container and found.kind != "bubblewrap":
        yield "container", "not tried: container = IMAGE in the configuration asks for one"
    for place, left_open in enumerate(found.uncovered):
        yield "" if place else "leaves open", left_open
    if mode == "danger-full-access":
        yield "in force", "none: code runs with your rights, as the setting says"
    elif not found.works:
        complaints.append(f"the model has no Python: {found.reason}")
        return
    yield "kernel", asyncio.run(_started(settings, found, complaints))


async def _started(settings: Settings, found: Confinement, complaints: list[str]) -> str:
    """How long a kernel takes from nothing to its first answer."""
    from ...tools.python import PythonTool

    tool = PythonTool(mode=settings.sandbox, bypass=settings.bypass, confinement=found)
    started = time.monotonic()
    try:
        outputs = [output async for output in tool.call("6 * 7")]
    finally:
        await tool.close()
    answer = "".join(output.text for output in outputs)
    if answer == "42":
        return f"ready in {time.monotonic() - started:.1f} s"
    complaints.append(f"the model has no Python: {answer}")
    return answer


def _runtime(settings: Settings, complaints: list[str]) -> Lines:
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    checkpoint = None
    refused = ""
    try:
        checkpoint = open_checkpoint(settings.model).path
    except CheckpointError as error:
        refused = str(error)
    found = asyncio.run(survey(checkpoint, settings.device))
    if found.torch:
        yield "torch", found.torch
    if found.device:
        yield "device", found.device
    if found.free is not None:
        yield "memory", f"{_size(found.free)} free there"
    yield "model", f"{settings.model} ({checkpoint})" if checkpoint else f"{settings.model}: not found"
    if found.parameters is not None and found.needed is not None:
        yield "size", f"{found.parameters:,} parameters"
        fits = "unknown whether it fits" if found.free is None else "fits"
        yield "needs", f"{_size(found.needed)}: {fits if not found.failure else 'does not fit'}"
    if refusal := refused or found.failure:
        yield "", " ".join(refusal.split())
        complaints.append(f"the model cannot run: {refusal}")


def _files() -> Lines:
    from platformdirs import user_cache_path

    yield "settings", _there(config_file(os.environ), "not there, so the defaults hold")
    yield "conversations", _there(default_file(), "none yet")
    yield "their files", _there(files_folder(), "none yet")
    yield "log", _there(log_path("engine"), "none yet")
    yield "", _there(log_path("screen"), "none yet")
    yield "cache", _there(user_cache_path("gptoss-chat"), "none yet")


def _terminal() -> Lines:
    yield "TERM", os.environ.get("TERM") or "not set: use --plain"
    size = shutil.get_terminal_size()
    yield "size", f"{size.columns} x {size.lines}" if sys.stdout.isatty() else "stdout is no terminal"
    plain = "off (NO_COLOR)" if os.environ.get("NO_COLOR") else None
    true = os.environ.get("COLORTERM") in ("truecolor", "24bit")
    yield "colours", plain or ("16 million" if true else "as TERM says; COLORTERM is not set to truecolor")
    yield "encoding", sys.stdout.encoding
    marks = {"tmux": "TMUX", "screen": "STY", "ssh": "SSH_TTY"}
    if inside := [name for name, mark in marks.items() if mark in os.environ]:
        yield "inside", ", ".join(inside)


def _there(path: Path, otherwise: str) -> str:
    try:
        status = path.stat()
    except OSError as error:
        why = otherwise if isinstance(error, FileNotFoundError) else error.strerror
        return f"{path} ({why})"
    return str(path) if path.is_dir() else f"{path} ({_size(status.st_size)})"


def _size(count: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
