"""A small process between the app and an untrusted program: it starts the program and outlives nobody.

It runs as `python -I -S warden.py SPEC`, SPEC being JSON with

- `command`: the argument vector; `cwd`: its working folder; its environment is our own;
- `user`: the uid and gid of the program, or null for our own;
- `expose`: pairs of a path that this user may be unable to reach (for a home of mode 0700, for instance) and
  its place in a mount namespace of our own; `cover`: the folders hidden there, in which those places lie;
- `filter`: bytes in base 64 for the program to read from descriptor `filter_at`, or null;
- `watch`: the program's limits (watchdog.py), or null; `verdict`: a descriptor for the reason of a stop;
- `remove`: folders to delete at the end; `afterwards`: an argument vector to run then, or null.

The owner has the other end of our standard input: when it closes, or the owner dies in any way, the program
is killed. Our exit status is the program's, 128 + N if signal N ended it. The warden is a process of its own
because the parent-death signal that bubblewrap relies on follows the starting *thread*, and threads end.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import stat
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import watchdog
else:  # a script, with no package around it
    sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120
    import watchdog

CLONE_NEWNS = 0x00020000  # sched.h
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000  # sys/mount.h
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # sys/prctl.h

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [text and text.encode() for text in (source, target, kind)]
    checked(libc.mount(*arguments, ctypes.c_ulong(flags), options and options.encode()), f"mount {target}")


def expose(pairs: list[tuple[str, str]], cover: list[str]) -> None:
    """Mount each source at its target. All are opened before a folder that may contain them is covered."""
    checked(libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    opened = [(os.open(source, os.O_PATH), target) for source, target in pairs]
    for folder in cover:
        mount("tmpfs", folder, "tmpfs", 0, "mode=755")
    for descriptor, target in opened:
        # pathlib would cost a third of our start-up.
        if not os.path.exists(target):  # noqa: PTH110
            os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)  # noqa: PTH103, PTH120
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                os.mkdir(target, 0o755)  # noqa: PTH102
            else:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND | MS_REC)
        os.close(descriptor)


def become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def hand_over(filter_: str, place: int) -> None:
    """Write the filter to a pipe at descriptor `place`; a pipe's capacity exceeds any filter."""
    reader, writer = os.pipe()
    os.write(writer, base64.b64decode(filter_))
    os.close(writer)
    os.dup2(reader, place, inheritable=True)


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
            expose(spec["expose"], spec["cover"])
        if spec["user"] is not None:
            become(spec["user"])
        if sys.platform == "linux":
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if spec["filter"] is not None:
            hand_over(spec["filter"], spec["filter_at"])
        os.chdir(spec["cwd"])
        os.execv(spec["command"][0], spec["command"])
    except OSError as error:
        os.write(2, f"{spec['command'][0]}: {error}\n".encode())
    os._exit(127)


def send(process: int, number: int) -> None:
    with suppress(OSError):
        os.kill(process, number)


def kill(program: int) -> None:
    """End the program and its descendants, which are stopped first so that they start no others."""
    send(-program, signal.SIGKILL)
    send(program, signal.SIGKILL)
    stopped: set[int] = set()
    while fresh := set(watchdog.descendants()) - stopped:
        for process in fresh:
            send(process, signal.SIGSTOP)
        stopped |= fresh
    for process in stopped:
        send(process, signal.SIGKILL)


def seal(descriptor: int) -> None:
    """Keep the program from opening the other end of our pipe through /proc, and waiting there."""
    if sys.platform == "linux" and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0)


def kill_with_owner(program: int) -> None:
    while os.read(0, 4096):
        pass
    kill(program)


def watch(most: dict[str, Any], program: int, verdict: int) -> None:
    try:
        complaint = watchdog.wait(most)
    except Exception as error:  # without the watch the program must not run
        complaint = f"it cannot be watched any more ({error})"
    os.write(verdict, complaint.encode())
    kill(program)


def main() -> int:
    spec = json.loads(sys.argv[1])
    os.set_inheritable(spec["verdict"], False)
    for stream in (1, 2):
        seal(stream)
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
    if spec["watch"] is not None:
        threading.Thread(target=watch, args=(spec["watch"], program, spec["verdict"]), daemon=True).start()
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])

    # Processes that the program left running are now our children, and end here.
    while watchdog.children(os.getpid()):
        kill(program)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    if spec["afterwards"] is not None:
        import subprocess

        subprocess.run(spec["afterwards"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if spec["remove"]:
        from shutil import rmtree

        for folder in spec["remove"]:
            rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # sys.exit would wait for the reading thread.
    code = main()
    os._exit(code)
