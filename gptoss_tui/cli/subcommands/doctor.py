"""`gptoss-chat doctor`: what works on this machine, what does not, and what would help. It changes nothing.

Each topic is a function that yields lines, each a name and a text, and appends to `complaints` whatever keeps
a conversation under the present settings from working.
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
from ...assemble.assemble import snapshots_folder
from ...events.printable import printable
from ...history.store import default_file, files_folder
from ...model.checkpoint import open_checkpoint
from ...model.cores import default_threads
from ...model.engine.survey import bandwidth, survey
from ...model.errors import CheckpointError
from ...plain.show import complain
from ...settings import Settings, config_file, read_settings
from ...tools.sandbox import Confinement, probe
from ...workers.log import log_path

Lines = Iterator[tuple[str, str]]
"""Names and their texts."""


def arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-m", "--model", metavar="MODEL", help="look at this model, not the one that is set")
    parser.add_argument("--device", metavar="DEVICE", help="where it would run: auto, cpu, cuda, cuda:N")


def run(options: Namespace) -> int:
    """Print the report; returns 1, with the reasons on stderr, if a conversation would not work."""
    flags = {name: value for name, value in vars(options).items() if value is not None}
    settings = read_settings(flags, os.environ)
    complaints: list[str] = []
    print(f"gptoss-chat {__version__}")
    topics = {
        "The model's Python": _python(settings, complaints),
        "The runtime": _runtime(settings, complaints),
        "Files": _files(settings),
        "The terminal": _terminal(),
    }
    for heading, lines in topics.items():
        print(f"\n{heading}", flush=True)
        for name, text in lines:
            print(f"  {name:<15}{printable(text)}", flush=True)
    for complaint in complaints:
        complain(complaint)
    return 1 if complaints else 0


def _python(settings: Settings, complaints: list[str]) -> Lines:
    if "python" not in settings.tools:
        yield "setting", "off (tools)"
        return
    mode = "danger-full-access" if settings.bypass else settings.sandbox
    yield "setting", mode
    confinement = asyncio.run(probe(settings.container))
    yield "sandbox", confinement.reason
    for failure in confinement.failures:
        yield failure.kind, f"does not hold: {failure.why}"
        if failure.mend:
            yield "", f"would help: {failure.mend}"
    if not settings.container and confinement.kind != "bubblewrap":
        yield "container", "not tried: container = IMAGE in the configuration asks for one"
    for place, gap in enumerate(confinement.uncovered):
        yield "" if place else "leaves open", gap
    if mode == "danger-full-access":
        yield "in force", "none: code runs with your rights, as the setting says"
    elif not confinement.works:
        complaints.append(f"the model has no Python: {confinement.reason}")
        return
    yield "kernel", asyncio.run(_kernel(settings, confinement, complaints))


async def _kernel(settings: Settings, confinement: Confinement, complaints: list[str]) -> str:
    """The time that a kernel takes to start and answer, or the reason why it does not."""
    from ...tools.python import PythonTool

    tool = PythonTool(mode=settings.sandbox, bypass=settings.bypass, confinement=confinement)
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
    fault = ""
    try:
        checkpoint = open_checkpoint(settings.model).path
    except CheckpointError as error:
        fault = str(error)
    found = asyncio.run(survey(checkpoint, settings.device))
    if found.torch:
        yield "torch", found.torch
    if found.device:
        yield "device", found.device
    if found.kernels:
        yield "kernels", found.kernels
    if found.free is not None:
        yield "memory", f"{_size(found.free)} free there"
    yield "model", f"{settings.model} ({checkpoint})" if checkpoint else f"{settings.model}: not found"
    if found.parameters is not None and found.needed is not None:
        yield "size", f"{found.parameters:,} parameters"
        fits = "unknown whether it fits" if found.free is None else "fits"
        yield "needs", f"{_size(found.needed)}: {fits if not found.failure else 'does not fit'}"
    if found.read_for_token and not found.failure:
        yield "speed", asyncio.run(_speed(found.read_for_token, settings.threads or default_threads()))
    if reason := fault or found.failure:
        yield "", " ".join(reason.split())
        complaints.append(f"the model cannot run: {reason}")


async def _speed(read: int, threads: int) -> str:
    """The tokens per second that memory allows a model that reads so many bytes for each."""
    given = await bandwidth(threads)
    if given is None:
        return "unknown: the speed of memory cannot be measured here"
    tokens = f"{given / read:,.0f}" if given > 100 * read else f"{given / read:.2g}"
    return f"at most about {tokens} tokens/s, from {read / 1e9:.3g} GB a token at {given / 1e9:.0f} GB/s"


def _files(settings: Settings) -> Lines:
    from platformdirs import user_cache_path

    yield "settings", _state(config_file(os.environ), "not there, so the defaults hold")
    yield "conversations", _state(default_file(), "none yet")
    yield "their files", _state(files_folder(), "none yet")
    yield "log", _state(log_path("engine"), "none yet")
    yield "", _state(log_path("screen"), "none yet")
    yield "cache", _state(user_cache_path("gptoss-chat"), "none yet")
    kept = f"at most {settings.snapshots:,} MB" if settings.snapshots else "off (snapshots)"
    yield "snapshots", f"{kept}; {_state(snapshots_folder(), 'none yet')}"


def _terminal() -> Lines:
    yield "TERM", os.environ.get("TERM") or "not set: use --plain"
    size = shutil.get_terminal_size()
    yield "size", f"{size.columns} x {size.lines}" if sys.stdout.isatty() else "stdout is no terminal"
    off = "off (NO_COLOR)" if os.environ.get("NO_COLOR") else None
    has_true_colour = os.environ.get("COLORTERM") in ("truecolor", "24bit")
    yield (
        "colours",
        off or ("16 million" if has_true_colour else "as TERM says; COLORTERM is not set to truecolor"),
    )
    yield "encoding", sys.stdout.encoding
    variables = {"tmux": "TMUX", "screen": "STY", "ssh": "SSH_TTY"}
    if hosts := [name for name, variable in variables.items() if variable in os.environ]:
        yield "inside", ", ".join(hosts)


def _state(path: Path, missing: str) -> str:
    """The path with its size; with `missing`, or the error, where it cannot be read."""
    try:
        status = path.stat()
    except OSError as error:
        why = missing if isinstance(error, FileNotFoundError) else error.strerror
        return f"{path} ({why})"
    return str(path) if path.is_dir() else f"{path} ({_size(status.st_size)})"


def _size(count: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
