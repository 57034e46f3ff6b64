"""Runs inside the sandbox and reports, as one JSON line, every forbidden action that succeeded.

It runs as `python -I -S -c SOURCE PORT OUTSIDE LENT FILE...`: a port of the person's on the loopback; a
folder that is not shared, with a file `secret` in it; a shared folder; and files of the person's.

It leaves a socket in LENT, which must be reachable from outside: without one, no kernel could be asked.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import socket
import sys
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
# ptrace(2) PTRACE_TRACEME, io_uring_setup(2), bpf(2), by machine
NUMBERS = {"x86_64": (101, 425, 321), "aarch64": (117, 425, 280)}
CLONE_NEWUSER = 0x10000000


def readable(path: str) -> bool:
    """Whether anything can be read at `path`; an empty folder is only a part of the path to a mount."""
    place = Path(path)
    try:
        if place.is_dir():
            return any(child.is_file() for child in place.iterdir())
        with place.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True


def written(outside: Path, lent: Path) -> list[str]:
    """The successful changes of the folder `outside`."""
    secret = outside / "secret"
    ways: dict[str, Callable[[], object]] = {
        "opened for writing": lambda: os.close(os.open(secret, os.O_WRONLY)),
        "truncated": lambda: os.truncate(secret, 0),
        "added to": (outside / "new").touch,
        "linked to": lambda: os.link(secret, lent / "link"),
        "filled with links": lambda: (outside / "link").symlink_to("/"),
        "removed from": secret.unlink,
    }
    found = []
    for way, attempt in ways.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(f"a folder of yours can be {way}")
    return found


def system_calls() -> list[str]:
    """The dangerous calls that the system's kernel still accepts."""
    trace, ring, bpf = NUMBERS[platform.machine()]
    calls: dict[str, Callable[[], int]] = {
        "ptrace": lambda: libc.syscall(trace, 0, 0, 0, 0),
        "io_uring": lambda: libc.syscall(ring, 1, ctypes.create_string_buffer(256)),
        "bpf": lambda: libc.syscall(bpf, 0, ctypes.create_string_buffer(256), 128),
        "a user namespace": lambda: libc.unshare(CLONE_NEWUSER),
        "mount": lambda: libc.mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(0), None),
    }
    return [
        f"{name} is allowed"
        for name, call in calls.items()
        if call() != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS)
    ]


def escapes(port: int, outside: str, lent: str, hidden: list[str]) -> list[str]:
    """All forbidden actions that succeeded, in plain words; empty if the confinement holds."""
    places = [f"{outside}/secret", *hidden, "/etc/shadow", "/etc/passwd"]
    found = [f"{path} can be read" for path in places if readable(path)]
    found += written(Path(outside), Path(lent))
    for folder in ("/", "/usr", "/etc", "/dev", sys.prefix, f"{sys.prefix}/bin", f"{sys.prefix}/lib"):
        place = Path(folder, "canary")
        try:
            place.touch()
        except OSError:
            continue
        place.unlink()
        found.append(f"{folder} can be written")
    try:
        with socket.socket() as connection:
            connection.settimeout(1)
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                found.append("the network can be reached")
    except OSError:
        pass
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    if status["NoNewPrivs"].strip() != "1":
        found.append("programs may gain privileges")
    if status["Seccomp"].strip() != "2":
        found.append("system calls are not filtered")
    # The bounding set limits what privileged programs gain, and there are none any more.
    if any(int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")):
        found.append("it holds capabilities")
    if os.getuid() == 0:
        found.append("it runs as root")
    return [*found, *system_calls()]


if __name__ == "__main__":
    port, outside, lent, *hidden = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{lent}/socket")
    listener.listen()
    print(json.dumps(escapes(int(port), outside, lent, hidden)), flush=True)
    listener.accept()
