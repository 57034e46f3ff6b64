"""The container command line, on request: the root is any image, all the rest is this machine's.

The interpreter and the system's folders are mounted over the image, read-only, so that the same programs run
inside as elsewhere, and the image may be any small one that the engine already has. Options: docker-run(1),
podman-run(1).
"""

from __future__ import annotations

import base64
import inspect
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import limits, narrow, seccomp
from .view import SYSTEM, SYSTEM_FILES, SharedFolder, environment

ENGINES = ("podman", "docker")
SANDBOXED_RUNTIME = "runsc"  # gVisor


@dataclass(frozen=True, slots=True)
class Container:
    """A container to run in: the `engine`'s path, the `image`, and a `runtime` other than its default."""

    engine: str
    image: str
    runtime: str | None = None


def find(image: str) -> list[Container]:
    """The ways to run `image` here, best first: under gVisor where that is installed."""
    engine = next((path for name in ENGINES if (path := shutil.which(name))), None)
    if engine is None:
        return []
    runtimes = [SANDBOXED_RUNTIME, None] if shutil.which(SANDBOXED_RUNTIME) else [None]
    return [Container(engine, image, runtime) for runtime in runtimes]


def command(
    box: Container,
    program: Sequence[str],
    folders: Sequence[SharedFolder],
    cwd: Path,
    *,
    name: str,
    user: int,
) -> list[str]:
    """The argument vector that runs `program` as `user` in a new container called `name`."""
    system = [
        SharedFolder(Path(place), Path(place)) for place in (*SYSTEM, *SYSTEM_FILES) if Path(place).exists()
    ]
    mounts = [
        f"--volume={folder.source.resolve()}:{folder.target}:{'rw' if folder.writable else 'ro'}"
        for folder in (*system, *folders)
    ]
    variables = environment()
    bounds = {key: most for key, most in limits.RESOURCES.items() if key != "nproc"}
    spec: dict[str, Any] = {
        # Where the engine has a bound of the same kind, it is the one that counts all processes.
        "limits": bounds,
        "landlock": None,
        "filter": base64.b64encode(seccomp.compile_filter(seccomp.EVERYWHERE)).decode(),
        "stand_ins": [],
        "environment": variables,
    }
    return [
        *(box.engine, "run", f"--name={name}", "--rm", "--interactive", "--pull=never"),
        *([f"--runtime={box.runtime}"] if box.runtime else []),
        *(["--userns=keep-id"] if Path(box.engine).name == "podman" and user else []),
        *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
        *(f"--user={user}:{user}", "--hostname=sandbox", "--ipc=private"),
        # Otherwise the engine stores all output in a file of its own.
        "--log-driver=none",
        *(f"--pids-limit={limits.TASKS}", f"--memory={limits.MEMORY}", f"--memory-swap={limits.MEMORY}"),
        *(f"--shm-size={limits.SHARED_MEMORY}", f"--tmpfs=/tmp:{_temporary()}"),
        *mounts,
        *(f"--workdir={cwd}", f"--entrypoint={sys.executable}", box.image),
        *("-I", "-S", "-c", inspect.getsource(narrow), json.dumps(spec), *program),
    ]


def removal(box: Container, name: str) -> list[str]:
    """The argument vector that ends the container called `name`, if it outlives its command."""
    return [box.engine, "rm", "--force", name]


def _temporary() -> str:
    return f"rw,nosuid,nodev,mode=1777,size={limits.TEMPORARY},nr_inodes={limits.FILES}"
