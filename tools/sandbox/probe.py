"""Decide by trial whether code can be confined here: run the real sandbox and let it try to get out."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import bubblewrap, canary
from .launch import launch, stop

PATIENCE = 10.0  # seconds; a trial takes about a tenth of one


@dataclass(frozen=True, slots=True)
class Confinement:
    """Whether untrusted code is confined, how, and one sentence about it for the person."""

    works: bool
    kind: Literal["bubblewrap", "none"]
    reason: str


def none(reason: str) -> Confinement:
    """No confinement, because of `reason`."""
    return Confinement(False, "none", reason)


async def probe() -> Confinement:
    """Run the sandbox once with canaries in it; takes about 0.1 s and never raises."""
    if sys.platform != "linux":
        return none(f"There is no sandbox for {sys.platform} yet.")
    if missing := bubblewrap.missing_programs():
        return none(f"No sandbox: {' and '.join(missing)} not found. Install bubblewrap and util-linux.")
    try:
        return await asyncio.wait_for(_trial(), PATIENCE)
    except TimeoutError:
        return none(f"No sandbox: bubblewrap did not finish its trial within {PATIENCE:.0f} s.")
    except OSError as error:
        return none(f"No sandbox: {error}.")


def _own_files() -> list[str]:
    """A few files of the person's that must be out of reach."""
    return [str(path) for path in sorted(Path.home().glob("*")) + sorted(Path.home().glob(".*"))][:20]


async def _trial() -> Confinement:
    program = [sys.executable, "-I", "-S", "-c", inspect.getsource(canary)]
    pipe = asyncio.subprocess.PIPE
    with tempfile.NamedTemporaryFile() as hidden, socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = [str(listener.getsockname()[1]), hidden.name, *_own_files()]
        process = await launch([*program, *arguments], "bubblewrap", cwd=Path("/"), stdout=pipe, stderr=pipe)
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            report, complaint = await asyncio.gather(process.stdout.read(), process.stderr.read())
        finally:
            await stop(process)
    if process.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines() or [
            f"exit status {process.returncode}"
        ]
        return none(f"No sandbox: bubblewrap does not work here ({lines[-1][:200]}).")
    if escapes := json.loads(report):
        return none(f"No sandbox: bubblewrap does not hold here ({', '.join(escapes)}).")
    return Confinement(
        True, "bubblewrap", "Code runs in a bubblewrap sandbox: no network, none of your files."
    )
