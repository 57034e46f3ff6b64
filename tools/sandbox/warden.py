"""A small process between the app and an untrusted program: it starts the program and outlives nobody.

Run as `python -I -S warden.py SPEC`, SPEC being JSON with

- `command`: the argument vector; `cwd`: where it starts, in our own environment;
- `user`: the uid and gid to become first, or null to stay who we are;
- `expose`: paths that this user may be unable to reach (a home of mode 0700 on the way, say). They appear as
  /tmp/0, /tmp/1, ... in a mount namespace of our own, and /tmp itself is hidden there;
- `remove`: a folder to delete at the end, or null.

The owner holds the other end of our standard input: when it closes, or the owner dies in whatever way, the
program is killed. Our exit status is the program's, 128 + N when signal N ended it. A process of its own
because the parent-death signal that bubblewrap relies on follows the starting *thread*, and threads end.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import stat
import sys
import threading
from typing import Any

CLONE_NEWNS = 0x00020000  # sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # sys/mount.h
PR_SET_CHILD_SUBREAPER = 36  # sys/prctl.h

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    checked(
        libc.mount(source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None),
        f"mount {target}",
    )


def expose(paths: list[str]) -> None:
    """Show each path as /tmp/N. Opened before /tmp is covered, because they may lie below it."""
    checked(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    opened = [os.open(path, os.O_PATH) for path in paths]
    mount("tmpfs", "/tmp", "tmpfs", 0)
    for number, descriptor in enumerate(opened):
        place = f"/tmp/{number}"
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.mkdir(place, 0o755)  # noqa: PTH102 (pathlib would cost a third of our start-up)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{descriptor}", place, None, MS_BIND | MS_REC)
        os.close(descriptor)


def become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def run(spec: dict[str, Any]) -> None:
    """Turn the forked child into the program; never returns."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        if sys.platform == "linux":
            # Memory running out ends the program first, never the app.
            with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
                file.write("1000")
        if spec["expose"]:
            expose(spec["expose"])
        if spec["user"] is not None:
            become(spec["user"])
        os.chdir(spec["cwd"])
        os.execv(spec["command"][0], spec["command"])
    except OSError as error:
        os.write(2, f"{spec['command'][0]}: {error}\n".encode())
    os._exit(127)


def children() -> list[int]:
    try:
        with open("/proc/thread-self/children") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def kill(program: int) -> None:
    for target, send in ((program, os.killpg), (program, os.kill)):
        try:
            send(target, signal.SIGKILL)
        except OSError:
            continue


def kill_with_owner(program: int) -> None:
    while os.read(0, 4096):
        pass
    kill(program)


def main() -> int:
    spec = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    program = os.fork()
    if program == 0:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        run(spec)
    threading.Thread(target=kill_with_owner, args=(program,), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])

    # What the program left running became our child: it ends with it.
    kill(program)
    while orphans := children():
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if spec["remove"] is not None:
        from shutil import rmtree

        rmtree(spec["remove"], ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # Not sys.exit: the reading thread would be waited for.
    code = main()
    os._exit(code)
