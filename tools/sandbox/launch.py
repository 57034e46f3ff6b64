"""Start a program, confined or not, so that it ends with us. Each kind of confinement is a case here."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from . import bubblewrap, warden
from .bubblewrap import Folder

# The user that a sandbox started by root becomes first: "nobody", by convention of the kernel (overflowuid).
NOBODY = 65534


async def launch(
    program: Sequence[str],
    kind: str,
    *,
    folders: Sequence[Folder] = (),
    cwd: Path,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    remove: Path | None = None,
) -> asyncio.subprocess.Process:
    """Run `program` under `kind` of confinement ("bubblewrap" or "none"), its working folder being `cwd`.

    Confined, it sees `folders` and the running Python, nothing else of the machine's files; unconfined,
    `folders` mean nothing and it inherits our environment. When root starts a confined program, the writable
    folders change hands to `NOBODY`, whom the program runs as.

    `remove` is a folder to delete when the program has ended, be we there to see it or not.

    Returns the process that guards the program: its exit status is the program's (128 + N for signal N), and
    closing its standard input kills the program. It dies with us, however we die.
    """
    match kind:
        case "bubblewrap":
            spec = _confined(program, [*bubblewrap.interpreter(), *folders], cwd)
            environment = {"PATH": os.defpath}
        case "none":
            spec = {"command": list(program), "user": None, "expose": [], "cwd": str(cwd)}
            # A kernel that believes in a Jupyter parent leaves when it cannot see that process.
            environment = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
        case _:
            raise ValueError(f"unknown kind of confinement: {kind}")
    spec["remove"] = str(remove) if remove else None
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(warden.__file__), json.dumps(spec)),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


async def stop(process: asyncio.subprocess.Process, patience: float = 2.0) -> None:
    """Kill the guarded program and wait until its guard is gone too."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        process.kill()
        await process.wait()


def _confined(program: Sequence[str], folders: Sequence[Folder], cwd: Path) -> dict[str, object]:
    user, exposed = None, []
    if os.geteuid() == 0:
        user = NOBODY
        for folder in folders:
            if folder.writable:
                os.chown(folder.source, NOBODY, NOBODY)
        exposed = [str(folder.source) for folder in folders]
        folders = [replace(folder, source=Path(f"/tmp/{n}")) for n, folder in enumerate(folders)]
    return {
        "command": bubblewrap.command(program, folders, cwd),
        "user": user,
        "expose": exposed,
        "cwd": "/",
    }
