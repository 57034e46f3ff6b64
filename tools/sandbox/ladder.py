"""The choice of a sandbox by trial: each kind runs a program that tries to break out.

The order is from the strongest to the weakest; being installed counts for nothing. The container is tried
only on request, and then first.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import bubblewrap, canary, container, landlock, syscalls
from .container import Container
from .launch import NOBODY, GuardedProgram, SandboxKind, launch
from .view import SharedFolder, objection, secrets_at_home

PATIENCE = 10.0  # seconds for one trial, which takes about a tenth of one
LEAKS = "it does not hold here"

LADDER: tuple[SandboxKind, ...] = ("bubblewrap", "landlock")

TOLD: dict[SandboxKind, str] = {
    "bubblewrap": "Code runs in a bubblewrap sandbox: no network, none of your files.",
    "landlock": "Code runs in a reduced sandbox (Landlock): no network, none of your files' contents.",
    "container": "Code runs in a container: no network, none of your files.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of sandbox that does not hold here: `why`, and the remedy (`mend`), if it is known."""

    kind: SandboxKind
    why: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Confinement:
    """The `kind` of sandbox for untrusted code, or "none", and a sentence about it for the person.

    `failures` are the stronger kinds that do not hold, `uncovered` are the gaps of this kind.
    """

    kind: SandboxKind
    reason: str
    failures: tuple[Failure, ...] = ()
    uncovered: tuple[str, ...] = ()
    box: Container | None = None

    @property
    def works(self) -> bool:
        """Whether code is confined."""
        return self.kind != "none"


async def probe(image: str = "", kinds: Sequence[SandboxKind] = LADDER) -> Confinement:
    """Find the strongest of `kinds` that holds; a container of `image` first, if one is named.

    Takes about 0.1 s and never raises.
    """
    if sys.platform != "linux":
        return Confinement("none", f"There is no sandbox for {sys.platform} yet.")
    if syscalls.here() is None:
        return Confinement("none", f"There is no sandbox for {os.uname().machine} processors yet.")
    if why := objection():
        return Confinement("none", why)
    failures: list[Failure] = []
    rungs: list[tuple[SandboxKind, Container | None]] = [(kind, None) for kind in kinds]
    if image:
        boxes = container.find(image)
        rungs[:0] = [("container", box) for box in boxes]
        if not boxes:
            failures.append(
                Failure("container", "neither podman nor docker was found", "install one of them")
            )
    for kind, box in rungs:
        failure = _impossible(kind) or await _tried(kind, box)
        if failure is None:
            uncovered = landlock.UNCOVERED if kind == "landlock" else ()
            return Confinement(kind, TOLD[kind], tuple(failures), uncovered, box)
        failures.append(failure)
    reasons = "; ".join(f"{failure.kind}: {failure.why}" for failure in failures)
    return Confinement("none", f"No sandbox holds here ({reasons}).", tuple(failures))


def _impossible(kind: SandboxKind) -> Failure | None:
    """The reason why `kind` need not be tried."""
    if kind == "bubblewrap" and (missing := bubblewrap.missing_programs()):
        packages = {"bwrap": "bubblewrap", "prlimit": "util-linux"}
        mend = f"install {' and '.join(packages[name] for name in missing)}"
        return Failure(kind, f"{' and '.join(missing)} not found", mend)
    if kind == "landlock" and (version := landlock.abi()) < landlock.LEAST:
        speaks = (
            f"speaks version {version} of Landlock, {landlock.LEAST} is needed" if version else "has none"
        )
        mend = "Linux 6.2 or later, with landlock among the modules of its lsm= parameter"
        return Failure(kind, f"the system's kernel {speaks}", mend)
    return None


async def _tried(kind: SandboxKind, box: Container | None) -> Failure | None:
    try:
        why = await asyncio.wait_for(_trial(kind, box), PATIENCE)
    except TimeoutError:
        why = f"did not finish its trial within {PATIENCE:.0f} s"
    except OSError as error:
        why = str(error)
    # No setting of the system repairs a sandbox that runs and leaks.
    return Failure(kind, why, "" if why.startswith(LEAKS) else _mend(kind)) if why else None


async def _trial(kind: SandboxKind, box: Container | None) -> str:
    """The failure of the canary's run in that sandbox; empty if the sandbox holds."""
    pipe = asyncio.subprocess.PIPE
    with (
        tempfile.TemporaryDirectory(prefix="gptoss-") as lent,
        tempfile.TemporaryDirectory(prefix="gptoss-") as outside,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        _lay_bait(Path(outside))
        program = await launch(
            [
                *(sys.executable, "-I", "-S", "-c", inspect.getsource(canary)),
                *(str(listener.getsockname()[1]), outside, lent, *_private(kind)),
            ],
            kind,
            folders=[SharedFolder(Path(lent), Path(lent), writable=True)],
            cwd=Path("/"),
            stdout=pipe,
            stderr=pipe,
            box=box,
        )
        try:
            return await _report(program, Path(lent, "socket"))
        finally:
            await program.stop()


def _lay_bait(folder: Path) -> None:
    """Write a secret that only the sandbox protects from the canary, whose user owns the file."""
    secret = folder / "secret"
    secret.write_text("canary")
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        os.chown(secret, NOBODY, NOBODY)


async def _report(program: GuardedProgram, address: Path) -> str:
    assert program.stdout is not None
    assert program.stderr is not None
    # Both streams are drained, so that neither a flood nor a silent end blocks this side.
    complaint = asyncio.create_task(program.stderr.read())
    report = await program.stdout.readline()
    if not report:
        said = (await complaint).decode(errors="replace").strip().splitlines()
        return f"it does not work here ({said[-1][:200] if said else f'exit status {await program.wait()}'})"
    complaint.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await complaint
    try:
        escapes = json.loads(report)
    except ValueError:
        return f"its trial said something else ({report[:100].decode(errors='replace').strip()})"
    if escapes:
        return f"{LEAKS}: {', '.join(escapes)}"
    try:
        _, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        return f"its sockets cannot be reached ({error.strerror})"
    writer.close()
    return ""


def _private(kind: SandboxKind) -> list[str]:
    """Files of the person's that must not be readable."""
    # In a namespace of its own, that number belongs to another process.
    return [*secrets_at_home(), *([f"/proc/{os.getpid()}/environ"] if kind == "landlock" else [])]


def _mend(kind: SandboxKind) -> str:
    """The remedy for an installed sandbox that the system forbids, by the settings of distributions."""
    if kind == "landlock" and os.geteuid() == 0:
        return "run gptoss-chat as an ordinary user"
    if kind != "bubblewrap":
        return ""
    switches = {
        "kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
        "kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "an AppArmor profile that grants /usr/bin/bwrap user namespaces "
            "(or sysctl kernel.apparmor_restrict_unprivileged_userns=0, for every program)",
        ),
        "user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=10000"),
    }
    for switch, (forbids, mend) in switches.items():
        with contextlib.suppress(OSError):
            if Path("/proc/sys", switch).read_text().strip() == forbids:
                return mend
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "run gptoss-chat outside this container, which forbids sandboxes inside it"
    return ""
