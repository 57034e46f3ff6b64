"""Attempts to get out, each of which must fail in each sandbox; then an ordinary cell must work."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gptoss_tui.tools.python import PythonTool
from gptoss_tui.tools.sandbox import syscalls
from gptoss_tui.tools.sandbox.launch import NOBODY

Run = Callable[[PythonTool, str], Coroutine[Any, Any, Any]]
pytestmark = pytest.mark.asyncio(loop_scope="module")

MACHINE = syscalls.here() or syscalls.ARCHITECTURES["x86_64"]

# What raises OSError has failed. `call` makes a system call by name, `need` is for what may be worth nothing.
PRELUDE = f"""
import ctypes, fcntl, os, pty, shutil, signal, socket, struct, subprocess, tempfile, termios
from pathlib import Path
libc = ctypes.CDLL(None, use_errno=True)
numbers = { ({name: MACHINE.number(name) for name in syscalls.TABLE})!r}
buffer = ctypes.create_string_buffer(4096)
def need(what):
    if not what:
        raise OSError("nothing there")
def call(name, *arguments):
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    if libc.syscall(ctypes.c_long(numbers[name]), *words) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
def attempt(code):
    try:
        exec(code, globals())
    except OSError:
        return "refused"
    except BaseException as error:
        return repr(error)
    return "ESCAPED"
"""

ATTEMPTS = {
    # reading
    "read a file": "open(SECRET).read(1)",
    "list a folder": "need(os.listdir(OUTSIDE))",
    "read the home folder": "need([name for name in os.listdir(HOME) if open(Path(HOME, name)).read(1)])",
    "read the shadow file": "open('/etc/shadow').read(1)",
    "read the list of users": "open('/etc/passwd').read(1)",
    "read through a link": "os.symlink(SECRET, 'link'); open('link').read(1)",
    "read through /proc": "open('/proc/self/root' + SECRET).read(1)",
    "read through a descriptor": "open(f'/proc/self/fd/{os.open(OUTSIDE, os.O_PATH)}/secret').read(1)",
    "read by handle": "call('open_by_handle_at', -100, buffer, 0)",
    "read another process's environment": "need('CANARY=1' in open(f'/proc/{APP}/environ').read())",
    "read another process's command line": "need('pytest' in open(f'/proc/{APP}/cmdline').read())",
    "list the machine's connections": "need(f':{PORT:04X}' in open('/proc/self/net/tcp').read())",
    "list the machine's connections by a thread": (
        "need(f':{PORT:04X}' in open('/proc/thread-self/net/tcp').read())"
    ),
    "list the machine's mounts": "need(MOUNT in open('/proc/self/mountinfo').read())",
    "read the kernel's memory": "open('/dev/mem', 'rb').read(1)",
    "read a disk": "os.mknod('disk', 0o60600, os.makedev(254, 0)); open('disk', 'rb').read(1)",
    # writing
    "write a file": "open(SECRET, 'a')",
    "write through a link": "os.symlink(SECRET, 'other'); open('other', 'w')",
    "truncate a file": "os.truncate(SECRET, 0)",
    "create a file": "open(OUTSIDE + '/new', 'w')",
    "create a folder": "os.mkdir(OUTSIDE + '/folder')",
    "create a link": "os.symlink('/', OUTSIDE + '/link')",
    "create a socket": "socket.socket(socket.AF_UNIX).bind(OUTSIDE + '/socket')",
    "link a file in": "os.link(SECRET, 'linked')",
    "link a file out": "open('mine', 'w'); os.link('mine', OUTSIDE + '/mine')",
    "move a file in": "os.rename(SECRET, 'moved')",
    "move a file out": "open('yours', 'w'); os.rename('yours', OUTSIDE + '/yours')",
    "remove a file": "os.unlink(SECRET)",
    # Where such calls do nothing, they report success.
    "change a mode": "os.chmod(SECRET, 0o700); need(os.stat(SECRET).st_mode & 0o100)",
    "change a time": "os.utime(SECRET, (1, 1)); need(os.stat(SECRET).st_mtime == 1)",
    "change a time to now": "os.utime(SECRET)",
    "change an owner": "os.chown(SECRET, os.getuid(), os.getgid())",
    "set an attribute": "os.setxattr(SECRET, 'user.x', b'1')",
    "write to the interpreter": "open(os.__file__, 'a')",
    "write to the system": "open('/usr/lib/new', 'w')",
    "write to the root": "open('/new', 'w')",
    "write to a kernel setting": "open('/proc/sys/kernel/core_pattern', 'w')",
    "be spared when memory runs out": "open('/proc/self/oom_score_adj', 'w').write('0')",
    "raise a limit": "call('prlimit64', 0, 7, struct.pack('QQ', 9999, 9999), 0)",
    # the network
    "connect to the loopback": "socket.create_connection(('127.0.0.1', PORT), 1)",
    "connect to the loopback, IPv6": "socket.create_connection(('::1', PORT), 1)",
    "connect to an address": "socket.create_connection(('192.0.2.1', 80), 1)",
    "send a datagram": "need(socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53)))",
    "look up a name": "socket.getaddrinfo('example.com', 80)",
    "open a raw socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "open a socket to the host": "socket.socket(socket.AF_VSOCK)",
    "connect to a service of the person's": "socket.socket(socket.AF_UNIX).connect(SERVICE)",
    "connect to an abstract socket": "socket.socket(socket.AF_UNIX).connect(ABSTRACT)",
    "send to a service of the person's": (
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, SERVICE + '-datagram')"
    ),
    "send through a pair": (
        "socket.socketpair(type=socket.SOCK_DGRAM)[0].sendmsg([b'x'], [], 0, SERVICE + '-datagram')"
    ),
    # other processes
    "signal the app": "os.kill(APP, 0)",
    "signal by descriptor": "signal.pidfd_send_signal(os.pidfd_open(APP), 0)",
    "limit another process": "call('prlimit64', APP, 7, 0, buffer)",
    "attach shared memory": "call('shmat', SEGMENT, 0, 0)",
    "destroy shared memory": "call('shmctl', SEGMENT, 0, 0)",
    "trace": "call('ptrace', 0, 0, 0, 0)",
    "attach to the app": "call('ptrace', 16, APP, 0, 0)",
    "read another's memory": "call('process_vm_readv', os.getppid(), buffer, 1, buffer, 1, 0)",
    "write another's memory": "call('process_vm_writev', os.getppid(), buffer, 1, buffer, 1, 0)",
    "take another's descriptor": "call('pidfd_getfd', 0, 0, 0)",
    "type into a terminal": "fcntl.ioctl(pty.openpty()[1], termios.TIOCSTI, b'x')",
    "open the terminal": "open('/dev/tty')",
    # the system
    "make a user namespace": "call('unshare', 0x10000000)",
    "fork into a namespace": "call('clone', 0x10000000 | 17, 0, 0, 0, 0)",
    "fork into a namespace, the new way": "call('clone3', buffer, 88)",
    "enter a namespace": "call('setns', os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "mount": "call('mount', b'none', b'/tmp', b'tmpfs', 0, 0)",
    "mount, the new way": "call('fsopen', b'tmpfs', 0)",
    "unmount": "call('umount2', b'/proc', 2)",
    "change the root": "os.chroot('/tmp')",
    "use io_uring": "call('io_uring_setup', 8, buffer)",
    "use bpf": "call('bpf', 0, buffer, 128)",
    "use perf": "call('perf_event_open', buffer, 0, -1, -1, 0)",
    "use userfaultfd": "call('userfaultfd', 1)",
    "use the kernel's keys": "call('keyctl', 0, -3, 0)",
    "add a key": "call('add_key', b'user', b'x', b'y', 1, -3)",
    "load a module": "call('finit_module', 0, b'', 0)",
    "hide memory in a descriptor": "call('memfd_create', b'x', 0)",
    "hide memory in a segment": "call('shmget', 1, 4096, 0o1600)",
    "see the kernel's log": "call('syslog', 3, buffer, 4096)",
    "become root": "os.setuid(0)",
    "become root by a program": "need(b'=0' in subprocess.check_output('su -c id 2>&1; true', shell=True))",
    "set the clock": "call('settimeofday', buffer, 0)",
}


@dataclass(frozen=True, slots=True)
class Outside:
    """The targets of the attempts: a folder, services, and ways to see whether they were reached."""

    folder: Path
    home: Path
    listeners: tuple[socket.socket, ...]
    segment: int  # of System V's shared memory, open to everyone

    def reached(self) -> bool:
        """Whether anybody connected, or sent anything."""
        for listener in self.listeners:
            try:
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(1)
                else:
                    listener.accept()
            except BlockingIOError:
                continue
            return True
        return False

    def state(self) -> list[tuple[str, int, int, float, bytes]]:
        """The folder in every detail."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            info = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
            found.append((str(path), info.st_mode, info.st_uid, info.st_mtime, content))
        return found


@pytest.fixture
def outside() -> Iterator[Outside]:
    """A folder and services that only the sandbox protects from the attempts."""
    # Not in pytest's folder, which is closed to whom the sandbox runs as.
    home, folder = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    for place in (home, folder):
        (place / "secret").write_text("the secret")
    inet, inet6 = socket.create_server(("127.0.0.1", 0)), None
    if socket.has_ipv6:
        try:
            inet6 = socket.create_server(("::1", inet.getsockname()[1]), family=socket.AF_INET6)
        except OSError:
            inet6 = None
    unix, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    unix.bind(str(folder / "service"))
    abstract.bind(f"\0gptoss-test-{os.getpid()}")
    datagrams.bind(str(folder / "service-datagram"))
    for listener in (unix, abstract):
        listener.listen()
    if os.geteuid() == 0:
        for path in (home, folder, *folder.iterdir(), *home.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    listeners = tuple(one for one in (inet, inet6, unix, abstract, datagrams) if one is not None)
    for listener in listeners:
        listener.setblocking(False)
    libc = ctypes.CDLL(None)
    segment = libc.shmget(0, 4096, 0o1666)  # IPC_PRIVATE, IPC_CREAT
    yield Outside(folder, home, listeners, segment)
    assert libc.shmctl(segment, 0, None) == 0  # IPC_RMID: still there
    for listener in listeners:
        listener.close()
    for place in (home, folder):
        shutil.rmtree(place)


async def test_every_attempt_fails_and_ordinary_cells_go_on(
    confined: PythonTool, run: Run, outside: Outside
) -> None:
    before = outside.state()
    known = {
        "OUTSIDE": str(outside.folder),
        "SECRET": str(outside.folder / "secret"),
        "HOME": str(outside.home),
        "SERVICE": str(outside.folder / "service"),
        "ABSTRACT": f"\0gptoss-test-{os.getpid()}",
        "PORT": outside.listeners[0].getsockname()[1],
        "APP": os.getpid(),
        "MOUNT": Path("/proc/self/mountinfo").read_text().splitlines()[-1],
        "SEGMENT": outside.segment,
    }
    assignments = "".join(f"{name} = {value!r}\n" for name, value in known.items())
    assert (await run(confined, PRELUDE + assignments + "'ready'")).text == "'ready'"
    code = f"attempts = {ATTEMPTS!r}\n[(name, attempt(attempts[name])) for name in attempts]"
    answer = await run(confined, code)
    assert not answer.is_error, answer.text
    results = eval(answer.text)
    assert len(results) == len(ATTEMPTS)
    assert [found for found in results if found[1] != "refused"] == []
    assert outside.state() == before
    assert not outside.reached()
    assert (await run(confined, "6 * 7")).text == "42"
