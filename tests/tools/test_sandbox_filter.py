"""The system call filter, run by an interpreter of its own, and loaded into real processes."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
from errno import EACCES, EAFNOSUPPORT, ENETUNREACH, ENOSYS, EPERM
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_tui.tools.sandbox import bpf, narrow, seccomp, syscalls
from gptoss_tui.tools.sandbox.bpf import Refusal, When

NAMES = list(syscalls.ARCHITECTURES)
X86 = syscalls.ARCHITECTURES["x86_64"]
ARM = syscalls.ARCHITECTURES["aarch64"]
WORDS = st.integers(0, 2**32 - 1)
LONGS = st.integers(0, 2**64 - 1)
INTERESTING = [0, 1, 2, 3, 5, 10, 16, 17, 40, 0x5412, 0x541C, 0x10000000, 0x20000, 2**31, 2**32 - 1, 2**32]


def verdict(code: bytes, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """The result of the filter `code`: a machine for its few instructions, written from the manual alone."""
    arguments += (0,) * (6 - len(arguments))
    data = struct.pack("<IIQ6Q", number, architecture, 0, *arguments)
    steps = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    accumulator = place = 0
    while True:
        operation, yes, no, k = steps[place]
        place += 1
        match operation:
            case 0x20:
                accumulator = int.from_bytes(data[k : k + 4], "little")
            case 0x54:
                accumulator &= k
            case 0x15:
                place += yes if accumulator == k else no
            case 0x35:
                place += yes if accumulator >= k else no
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"an instruction {operation:#x} that the kernel may not take")


def refused(name: str, *arguments: int, rules: list[seccomp.SeccompRule] | None = None) -> int | None:
    """The errno that the call gets on x86-64; None if it passes."""
    number = X86.number(name)
    assert number is not None
    found = verdict(seccomp.compile_filter(rules or seccomp.EVERYWHERE, X86), number, X86.audit, arguments)
    return None if found == bpf.ALLOW else found & 0xFFFF


@given(
    st.lists(
        st.builds(
            Refusal,
            st.integers(0, 9),
            st.integers(1, 133),
            st.none()
            | st.builds(
                When,
                st.integers(0, 5),
                st.lists(st.sampled_from(INTERESTING[:-1]) | WORDS, min_size=1, max_size=5).map(tuple),
                st.sampled_from([2**32 - 1, 0xF, 0x7E020000]),
                st.booleans(),
                st.booleans(),
            ),
        ),
        max_size=8,
    ),
    st.integers(0, 9),
    st.tuples(*[st.sampled_from(INTERESTING) | LONGS] * 6),
)
def test_the_program_does_what_the_refusals_say(
    refusals: list[Refusal], number: int, arguments: tuple[int, ...]
) -> None:
    expected = bpf.ALLOW
    for refusal in reversed(refusals):
        if refusal.number != number:
            continue
        holds = True
        if (when := refusal.when) is not None:
            half = arguments[when.argument] >> (32 if when.high else 0) & when.mask
            holds = (half in when.values) != when.unless
        if holds:
            expected = bpf.ERRNO | refusal.errno
    code = bpf.assemble(bpf.program(refusals, X86.audit, refuse_x32=True))
    assert verdict(code, number, X86.audit, arguments) == expected


@pytest.mark.parametrize("rules", [seccomp.EVERYWHERE, seccomp.WITHOUT_NAMESPACES, seccomp.SIGNALS])
@pytest.mark.parametrize("name", NAMES)
@given(number=WORDS, architecture=WORDS, arguments=st.tuples(*[LONGS] * 6))
def test_whatever_is_asked_there_is_a_verdict(
    name: str, rules: list[seccomp.SeccompRule], number: int, architecture: int, arguments: tuple[int, ...]
) -> None:
    machine = syscalls.ARCHITECTURES[name]
    code = seccomp.compile_filter(rules, machine)
    if architecture != machine.audit:
        assert verdict(code, number, architecture, arguments) == bpf.KILL
    found = verdict(code, number, machine.audit, arguments)
    if machine.x32 and number >= bpf.X32:
        assert found == bpf.KILL
    elif number not in {column[machine.column] for column in syscalls.TABLE.values()}:
        assert found == bpf.ALLOW


@pytest.mark.parametrize("name", NAMES)
def test_no_two_calls_share_a_number(name: str) -> None:
    numbers = [
        number for call in syscalls.TABLE if (number := syscalls.ARCHITECTURES[name].number(call)) is not None
    ]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("ptrace", (), EPERM),
        ("io_uring_setup", (8,), ENOSYS),
        ("clone3", (), ENOSYS),
        ("clone", (17,), None),  # fork
        ("clone", (0x3D0F00,), None),  # a thread
        ("clone", (0x10000000 | 17,), EPERM),  # CLONE_NEWUSER
        ("clone", (0x20000,), EPERM),  # CLONE_NEWNS
        ("unshare", (0x400,), None),  # CLONE_FILES
        ("unshare", (0x80,), EPERM),  # CLONE_NEWTIME
        ("ioctl", (0, 0x5401), None),  # TCGETS
        ("ioctl", (0, 0x5412), EPERM),
        ("ioctl", (0, 0x5412 | 1 << 32), EPERM),  # the kernel looks at the low half alone
        ("socket", (1, 1), None),
        ("socket", (10, 1), None),
        ("socket", (17, 3), EAFNOSUPPORT),  # AF_PACKET
        ("socket", (40, 1), EAFNOSUPPORT),  # AF_VSOCK
        ("personality", (0x40000,), EPERM),
        ("personality", (0xFFFFFFFF,), None),
        ("connect", (), None),
        *[(name, (), EPERM) for name in ("mount", "umount2", "pivot_root", "chroot", "setns", "fsopen")],
        *[(name, (), EPERM) for name in ("open_tree", "move_mount", "mount_setattr", "bpf", "keyctl")],
        *[(name, (), EPERM) for name in ("process_vm_readv", "kexec_load", "init_module", "perf_event_open")],
        ("userfaultfd", (), ENOSYS),
        ("memfd_create", (), ENOSYS),
    ],
)
def test_calls_in_every_sandbox(name: str, arguments: tuple[int, ...], errno: int | None) -> None:
    assert refused(name, *arguments) == errno


@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("connect", (), EACCES),
        ("socket", (2, 1), ENETUNREACH),
        ("socket", (1, 1 | 0x80800), None),  # with CLOEXEC and NONBLOCK
        ("socket", (1, 2), EACCES),  # datagrams go anywhere
        ("socketpair", (1, 5), EACCES),
        ("sendto", (3, 0x7F0000000000, 1, 0, 0, 0), None),
        ("sendto", (3, 0, 1, 0, 0x7F0000000000, 16), EACCES),
        ("sendto", (3, 0, 1, 0, 0x1000, 16), EACCES),
        ("prlimit64", (0,), None),
        ("prlimit64", (1,), EPERM),
        ("chmod", (), 0),
        ("utimensat", (0, 0x7F0000001000, 0x7F0000000000), 0),
        ("utimensat", (0, 0x7F0000001000, 0), EPERM),
        ("fchownat", (), EPERM),
    ],
)
def test_calls_where_there_are_no_namespaces(
    name: str, arguments: tuple[int, ...], errno: int | None
) -> None:
    assert refused(name, *arguments, rules=seccomp.WITHOUT_NAMESPACES) == errno


def test_a_filter_that_the_kernel_would_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="4096"):
        bpf.assemble(bpf.program([Refusal(n, EPERM) for n in range(3000)], X86.audit, refuse_x32=False))


def test_a_processor_we_do_not_know_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(OSError, match="processor"):
        seccomp.compile_filter(seccomp.EVERYWHERE)


def under(rules: list[seccomp.SeccompRule], source: str) -> subprocess.CompletedProcess[str]:
    """Python code run by the real kernel under `rules`, and nothing else."""
    spec: dict[str, Any] = {
        "limits": {},
        "landlock": None,
        "filter": base64.b64encode(seccomp.compile_filter(rules)).decode(),
        "stand_ins": [seccomp.ITSELF, seccomp.ITS_GROUP],
        "environment": {},
    }
    words = [sys.executable, narrow.__file__, json.dumps(spec), sys.executable, "-I", "-S", "-c", source]
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=60, start_new_session=True
    )


def test_the_kernel_takes_the_filters_and_lets_ordinary_work_pass() -> None:
    rules = [*seccomp.WITHOUT_NAMESPACES, *seccomp.EVERYWHERE, *seccomp.SIGNALS]
    source = "import threading, os, subprocess\n"
    source += "threading.Thread(target=print, args=('thread',)).start()\n"
    source += "subprocess.run(['/bin/echo', 'child'])"
    finished = under(rules, source)
    assert (sorted(finished.stdout.split()), finished.returncode) == (["child", "thread"], 0), finished.stderr


@pytest.mark.skipif(syscalls.here() is not X86, reason="code for x86-64")
def test_the_second_table_of_calls_is_closed() -> None:
    # getpid() by its number in the x32 table.
    source = "import ctypes; print(ctypes.CDLL(None).syscall(0x40000000 + 39))"
    assert under(seccomp.EVERYWHERE, source).returncode == -31  # SIGSYS


def test_an_old_landlock_has_its_signals_bounded_by_the_filter() -> None:
    source = """
import os, signal, subprocess
caught = []
signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
os.killpg(os.getpgrp(), signal.SIGUSR1)
for target in (os.getppid(), 1, -1):
    try:
        os.kill(target, 0)
        print("reached", target)
    except PermissionError:
        caught.append(2)
print(caught)
"""
    assert under(seccomp.SIGNALS, source).stdout == "[1, 1, 2, 2, 2]\n"
