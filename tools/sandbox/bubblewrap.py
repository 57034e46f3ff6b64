"""The bubblewrap command line: an empty root, the interpreter, its libraries, and the folders that were lent.

What is not mounted does not exist inside: no home, no sockets, no network but its own loopback. Option
semantics: bwrap(1), version 0.8 or later (`--disable-userns`).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 10**6

# The programs and libraries every distribution keeps here; readable by everyone, so never exposed twice.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")

# All that the program finds in its environment. Thread pools are kept small: each thread costs address space.
ENVIRONMENT = {
    "HOME": "/tmp",
    "IPYTHONDIR": "/tmp/.ipython",
    "LANG": "C.UTF-8",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "4",
    "OPENBLAS_NUM_THREADS": "4",
    "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
    "TERM": "dumb",
    "TMPDIR": "/tmp",
    "USER": "user",
}

# Set by prlimit(1) inside: a task limit set outside would count all the person's other processes as well.
LIMITS = {
    "as": 4_000 * MEGABYTE,
    "nproc": 256,
    "fsize": 100 * MEGABYTE,
    "nofile": 256,
    "core": 0,
}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder (or file) of this machine and the place where the program inside finds it."""

    source: Path
    target: Path
    writable: bool = False


def missing_programs() -> list[str]:
    """The programs that the command line needs and this machine lacks."""
    return [name for name in ("bwrap", "prlimit") if shutil.which(name) is None]


def interpreter() -> list[Folder]:
    """The running Python, each part at its own path: installation, environment, links between them."""
    parts: dict[Path, Path] = {}
    for prefix in (sys.base_prefix, sys.prefix):
        real = Path(prefix).resolve()
        parts |= {real: real, Path(prefix): real}
    link = Path(sys.executable)
    parts[link] = link.resolve()
    while link.is_symlink():
        link = link.parent / link.readlink()
        parts[link] = link.resolve()

    shown: list[Folder] = []
    for target, source in parts.items():
        covered = [*map(Path, SYSTEM), *(folder.target for folder in shown)]
        if not any(target.is_relative_to(place) for place in covered):
            shown.append(Folder(source, target))
    return shown


def command(program: Sequence[str], folders: Sequence[Folder], cwd: Path) -> list[str]:
    """The argument vector that runs `program` in `cwd` and shows it `folders` besides the system's own."""
    mounts: list[str] = []
    for place in SYSTEM:
        path = Path(place)
        if path.is_symlink():
            mounts += ["--symlink", str(path.readlink()), place]
        elif path.is_dir():
            mounts += ["--ro-bind", place, place]
    for place in SYSTEM_FILES:
        mounts += ["--ro-bind-try", place, place]
    for folder in folders:
        mounts += ["--bind" if folder.writable else "--ro-bind", str(folder.source), str(folder.target)]

    environment = [word for item in ENVIRONMENT.items() for word in ("--setenv", *item)]
    limits = [f"--{name}={value}" for name, value in LIMITS.items()]
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-all", "--unshare-user", "--disable-userns"),
        *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--clearenv", *environment),
        *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
        *("--size", str(64 * MEGABYTE), "--tmpfs", "/dev/shm"),
        *("--size", str(256 * MEGABYTE), "--tmpfs", "/tmp"),
        *mounts,
        *("--remount-ro", "/", "--chdir", str(cwd), "--"),
        *(shutil.which("prlimit") or "prlimit", *limits, "--", *program),
    ]
