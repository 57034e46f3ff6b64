"""Starting a program, confined or not, that ends with this process; a case for each kind of confinement."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from . import bubblewrap, container, landlock, limits, seccomp
from .container import Container
from .view import SharedFolder, interpreter

SandboxKind = Literal["bubblewrap", "landlock", "container", "none"]

# The user as which root's sandboxes run: "nobody", by convention of the kernel (overflowuid).
NOBODY = 65534


class GuardedProgram:
    """A running program and the warden that guards it: they end together."""

    def __init__(self, guard: asyncio.subprocess.Process, verdict: int) -> None:
        self._guard = guard
        self._verdict = verdict  # the pipe with the warden's reason for stopping the program
        self._stopped_because = ""

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """The program's standard output, if it is a pipe."""
        return self._guard.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """The program's standard error, if it is a pipe."""
        return self._guard.stderr

    @property
    def returncode(self) -> int | None:
        """The program's exit status, 128 + N for signal N; None while it runs."""
        return self._guard.returncode

    async def wait(self) -> int:
        """The exit status, once the program has ended."""
        return await self._guard.wait()

    async def stop(self, patience: float = 2.0) -> None:
        """Kill the program and wait until its guard has ended, too."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            await asyncio.wait_for(self._guard.wait(), patience)
        except TimeoutError:
            self._guard.kill()
            await self._guard.wait()
        self._judge()

    def ending(self) -> str:
        """How the program ended, in words."""
        self._judge()
        if self._stopped_because:
            return f"stopped: {self._stopped_because}"
        status = self._guard.returncode or 0
        if status > 128:
            try:
                return f"killed by {signal.Signals(status - 128).name}"
            except ValueError:
                pass
        return f"exit status {status}"

    def _judge(self) -> None:
        if self._verdict >= 0 and self._guard.returncode is not None:
            self._stopped_because = os.read(self._verdict, 1000).decode(errors="replace")
            os.close(self._verdict)
            self._verdict = -1


async def launch(
    program: Sequence[str],
    kind: SandboxKind,
    *,
    folders: Sequence[SharedFolder] = (),
    cwd: Path,
    stdout: int,
    stderr: int,
    remove: Path | None = None,
    box: Container | None = None,
) -> GuardedProgram:
    """Run `program` in the working folder `cwd`, under `kind` of confinement; a "container" is `box`.

    Confined, the program sees `folders` and the running Python, and no other file of the machine; unconfined,
    `folders` mean nothing and it inherits our environment. Landlock shows every folder at its own place, so
    there source and target must be the same. If root starts a confined program, it runs as `NOBODY`, and the
    folders are given to that user. Its memory, tasks and files are watched.

    `stdout` and `stderr` are pipes, or nothing (PIPE, STDOUT, DEVNULL), never a file: a descriptor of a file
    lets the program read it from the beginning, empty it, and open it to others.

    `remove` is a folder to delete when the program has ended, even if we end first. The program dies with us,
    however we die. Raises OSError if this kind is impossible here.
    """
    if not {stdout, stderr} <= {PIPE, STDOUT, DEVNULL}:
        raise ValueError("code gets no descriptor of ours")
    user = None
    if kind != "none" and os.geteuid() == 0:
        user = NOBODY
        for folder in folders:
            os.chown(folder.source, NOBODY, NOBODY)
    environment = {"PATH": os.defpath}
    match kind:
        case "bubblewrap":
            spec = _in_bubblewrap(program, folders, cwd, user)
        case "landlock":
            spec = _in_landlock(program, folders, cwd, user)
        case "container":
            if box is None:
                raise ValueError("which container?")
            spec = _in_container(box, program, folders, cwd)
            environment = dict(os.environ)  # of the engine's command, not of the program inside
        case "none":
            spec = {"command": list(program), "cwd": str(cwd)}
            # With this variable a kernel looks for a Jupyter parent, and leaves if it cannot see that
            # process.
            environment = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
    if remove is not None:
        spec["remove"] = [*spec.get("remove", []), str(remove)]
    return await _guarded(spec, environment, stdout, stderr)


async def _guarded(
    spec: dict[str, Any], environment: dict[str, str], stdout: int, stderr: int
) -> GuardedProgram:
    verdict, told = os.pipe()
    nothing: dict[str, Any] = {"user": None, "expose": [], "cover": [], "filter": None, "watch": None}
    spec = {**nothing, "remove": [], "afterwards": None, "verdict": told, **spec}
    warden = Path(__file__).with_name("warden.py")
    try:
        guard = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(warden), json.dumps(spec)),
            env=environment,
            stdin=PIPE,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=[told],
        )
    except BaseException:
        os.close(verdict)
        raise
    finally:
        os.close(told)
    return GuardedProgram(guard, verdict)


def _in_bubblewrap(
    program: Sequence[str], folders: Sequence[SharedFolder], cwd: Path, user: int | None
) -> dict[str, Any]:
    shown = [*interpreter(), *folders]
    exposed: list[tuple[str, str]] = []
    if user is not None:
        exposed = [(str(folder.source), f"/tmp/{n}") for n, folder in enumerate(shown)]
        shown = [replace(folder, source=Path(f"/tmp/{n}")) for n, folder in enumerate(shown)]
    return {
        "command": bubblewrap.command(program, shown, cwd),
        "cwd": "/",
        "user": user,
        "expose": exposed,
        "cover": ["/tmp"] if exposed else [],
        "filter": base64.b64encode(seccomp.compile_filter(seccomp.EVERYWHERE)).decode(),
        "filter_at": bubblewrap.FILTER,
        "watch": _watched([folder for folder in folders if folder.writable], tmpfs=["/tmp", "/dev/shm"]),
    }


def _in_landlock(
    program: Sequence[str], folders: Sequence[SharedFolder], cwd: Path, user: int | None
) -> dict[str, Any]:
    if moved := [folder for folder in folders if folder.source != folder.target]:
        raise ValueError(f"Landlock cannot show {moved[0].source} elsewhere")
    temporary = Path(tempfile.mkdtemp(prefix="gptoss-tmp-"))
    shown = [*interpreter(), *folders, SharedFolder(temporary, temporary, writable=True)]
    spec: dict[str, Any] = {}
    if user is not None:
        os.chown(temporary, user, user)
        if covered := {str(folder) for one in shown for folder in closed_to_others(one.source)}:
            sources = {str(place) for one in shown for place in (one.source, one.target)}
            spec = {"expose": [(place, place) for place in sorted(sources)], "cover": sorted(covered)}
    who = os.getuid() if user is None else user
    return {
        **spec,
        "command": landlock.command(program, [*interpreter(), *folders], temporary, who, landlock.abi()),
        "cwd": str(cwd),
        "user": user,
        "watch": _watched([folder for folder in shown if folder.writable], tmpfs=[]),
        "remove": [str(temporary)],
    }


def _in_container(
    box: Container, program: Sequence[str], folders: Sequence[SharedFolder], cwd: Path
) -> dict[str, Any]:
    name = f"gptoss-{secrets.token_hex(8)}"
    user = os.getuid() or NOBODY
    everything = [*interpreter(), *folders]
    return {
        "command": container.command(box, program, everything, cwd, name=name, user=user),
        "cwd": "/",
        "watch": _watched([folder for folder in folders if folder.writable], tmpfs=[]),
        "afterwards": container.removal(box, name),
    }


def _watched(writable: Sequence[SharedFolder], tmpfs: list[str]) -> dict[str, Any]:
    return {
        "tasks": limits.TASKS + limits.OWN_TASKS,
        "memory": limits.MEMORY,
        "folders": [str(folder.source) for folder in writable],
        "bytes": limits.WORKSPACE,
        "files": limits.FILES,
        "tmpfs": tmpfs,
        "free": limits.FREE_DISK,
    }


def closed_to_others(path: Path) -> list[Path]:
    """The outermost folder on the path to `path` that other users cannot enter, if there is one."""
    for folder in reversed(path.resolve().parents):
        if not folder.stat().st_mode & 0o001:
            return [folder]
    return []
