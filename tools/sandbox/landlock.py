"""Confinement where namespaces are forbidden: Landlock for files and signals, seccomp for the network.

The program runs among the person's other processes, as the same user, but it can open no file that it was not
granted, and no socket to anywhere. UNCOVERED lists the remaining gaps.
"""

from __future__ import annotations

import base64
import ctypes
import inspect
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import limits, narrow, seccomp
from .view import SYSTEM, SYSTEM_FILES, SharedFolder, environment

LEAST = 3
"""The first ABI that refuses truncating a file, which is a way to write it. Linux 6.2."""
SIGNALS = 6
"""The first ABI that restricts signals. Linux 6.12."""

ABI_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION

DEVICES_READ = ("/dev/random", "/dev/urandom")
DEVICES_USED = ("/dev/null", "/dev/zero", "/dev/full")
# The parts of /proc about the program itself. The others list other processes with their command lines, and
# its own entry contains the machine's connections (net) and mounts (mountinfo) as well.
OF_ITSELF = ("cmdline", "comm", "environ", "fd", "fdinfo", "io", "limits", "maps", "stat", "statm", "status")
PROC = (
    *(f"/proc/self/{name}" for name in OF_ITSELF),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu"),
)

UNCOVERED = (
    "it can ask whether a file exists whose path it knows, how large it is and when it was changed",
    "it runs under your own user, beside your other processes, whose number it can find out",
    "mode and time of files cannot be set (such calls do nothing), nor can sockets be connected",
    "memory and tasks are watched, and /tmp is a folder on disk rather than bounded memory",
)


def abi() -> int:
    """The version of Landlock in the system's kernel; 0 if it is absent or turned off."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(
        ctypes.c_long(narrow.CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(ABI_VERSION)
    )
    return max(int(version), 0)


def command(
    program: Sequence[str], folders: Sequence[SharedFolder], temporary: Path, user: int, version: int
) -> list[str]:
    """The argument vector that runs `program` as `user`, at Landlock's ABI `version`.

    The program may read `folders` besides the system's own, and write `temporary` and the writable folders.
    """
    rules = [*seccomp.WITHOUT_NAMESPACES, *seccomp.EVERYWHERE]
    if version < SIGNALS:
        rules += seccomp.SIGNALS
    readable = [str(place) for folder in folders for place in {folder.source, folder.target}]
    spec = {
        # The kernel counts all tasks of a user against this limit, wherever they run.
        "limits": limits.granted() | {"nproc": limits.lower("nproc", tasks_of(user) + limits.TASKS)},
        "landlock": {
            "abi": version,
            "read": [*SYSTEM, *SYSTEM_FILES, *DEVICES_READ, *PROC, *readable],
            "used": DEVICES_USED,
            "written": [str(temporary), *(str(folder.target) for folder in folders if folder.writable)],
        },
        "filter": base64.b64encode(seccomp.compile_filter(rules)).decode(),
        "stand_ins": [seccomp.ITSELF, seccomp.ITS_GROUP],
        "environment": environment(str(temporary)),
    }
    return [sys.executable, "-I", "-S", "-c", inspect.getsource(narrow), json.dumps(spec), *program]


def tasks_of(user: int) -> int:
    """The current number of `user`'s processes and threads."""
    tasks = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user:
                tasks += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208
        except OSError:
            continue  # it has ended meanwhile
    return tasks
