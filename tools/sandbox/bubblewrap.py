"""The bubblewrap command line: an empty root with the interpreter, its libraries, and the shared folders.

Unmounted files do not exist inside: there is no home, no socket, no network but its own loopback. Option
semantics: bwrap(1), version 0.8 or later (`--disable-userns`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import limits
from .view import SYSTEM, SYSTEM_FILES, SharedFolder, environment, prefixes

FILTER = 9  # the descriptor from which bwrap reads the seccomp filter


def missing_programs() -> list[str]:
    """The programs that the command line needs but this machine lacks."""
    return [name for name in ("bwrap", "prlimit") if shutil.which(name) is None]


def command(program: Sequence[str], folders: Sequence[SharedFolder], cwd: Path) -> list[str]:
    """The argument vector that runs `program` in `cwd` with `folders` besides the system's own."""
    mounts: list[str] = []
    for place in SYSTEM:
        path = Path(place)
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), place]
        elif path.is_dir():
            mounts += ["--ro-bind", place, place]
    for place in SYSTEM_FILES:
        mounts += ["--ro-bind-try", place, place]
    # The folders around the parts of the interpreter, which would otherwise be writable, in /tmp for
    # instance.
    filled = [*map(Path, SYSTEM), *(folder.target for folder in folders)]
    hollow = [str(place) for place in prefixes() if not any(place.is_relative_to(one) for one in filled)]
    for place in hollow:
        mounts += ["--tmpfs", place]
    for folder in folders:
        mounts += ["--bind" if folder.writable else "--ro-bind", str(folder.source), str(folder.target)]
    for place in hollow:
        mounts += ["--remount-ro", place]

    variables = [word for item in environment().items() for word in ("--setenv", *item)]
    # Set by prlimit(1) inside: outside, a limit of tasks would count the person's other processes as well.
    bounds = [f"--{name}={value}" for name, value in limits.granted().items()]
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-all", "--unshare-user", "--disable-userns"),
        *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--clearenv", *variables),
        *("--seccomp", str(FILTER)),
        *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
        *("--size", str(limits.SHARED_MEMORY), "--tmpfs", "/dev/shm"),
        *("--size", str(limits.TEMPORARY), "--tmpfs", "/tmp"),
        *mounts,
        *("--remount-ro", "/proc", "--remount-ro", "/", "--chdir", str(cwd), "--"),
        *(shutil.which("prlimit") or "prlimit", *bounds, "--", *program),
    ]
