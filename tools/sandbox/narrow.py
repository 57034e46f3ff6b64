"""Drops rights of the process for good, and becomes the program: limits, Landlock, a seccomp filter.

It runs as `python -I -S -c SOURCE SPEC PROGRAM...`, SPEC being JSON with

- `limits`: the most of each resource, by its name in lower case (RLIMIT_*);
- `landlock`: null, or `abi` and the places that may be `read`, `used` (read, and written if they are there)
  and `written`;
- `filter`: the seccomp filter in base 64; `stand_ins` are the two words in it that stand for this process and
  its group;
- `environment`: all the variables that the program gets.

Landlock and its numbers: landlock(7), linux/landlock.h.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import struct
import sys
from typing import Any

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38  # sys/prctl.h
SECCOMP_MODE_FILTER = 2
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # on every architecture
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
TRUNCATE, IOCTL_DEVICE = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE
RIGHTS = (0, 13, 14, 15, 15, 16)  # how many rights on files there are, by ABI

libc = ctypes.CDLL(None, use_errno=True)


class Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_char_p))


def checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def syscall(number: int, *arguments: Any) -> int:
    return checked(libc.syscall(ctypes.c_long(number), *arguments), "landlock")


def prctl(option: int, value: int, pointer: Any, what: str) -> None:
    none = ctypes.c_ulong(0)
    checked(libc.prctl(option, ctypes.c_ulong(value), pointer or none, none, none), what)


def confine(abi: int, read: list[str], used: list[str], written: list[str]) -> None:
    """Refuse every other file, all TCP, and access to other processes, as far as `abi` can."""
    every = (1 << RIGHTS[min(abi, len(RIGHTS) - 1)]) - 1
    network = 3 if abi >= 4 else 0  # bind, connect
    scopes = 3 if abi >= 6 else 0  # abstract sockets, signals
    attributes = struct.pack("=QQQ", every, network, scopes)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    everything = every & ~(MAKE_CHAR | MAKE_BLOCK)
    granted = [(READ, read), (READ | WRITE_FILE | TRUNCATE, used), (everything, written)]
    for rights, places in granted:
        for place in places:
            try:
                descriptor = os.open(place, os.O_PATH)
            except OSError:
                continue  # a missing file need not be granted
            possible = every if os.path.isdir(place) else every & OF_A_FILE  # noqa: PTH112
            rule = struct.pack("=Qi", rights & possible, descriptor)
            syscall(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(PATH_BENEATH), rule, ctypes.c_uint(0))
            os.close(descriptor)
    syscall(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)


def load(program: bytes, stand_ins: list[int]) -> None:
    """Load the seccomp filter, with its stand-ins replaced by this process and its group."""
    for stand_in, meant in zip(stand_ins, (os.getpid(), -os.getpgrp()), strict=False):
        program = program.replace(struct.pack("=I", stand_in), struct.pack("=i", meant))
    filter_ = Filter(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), "seccomp")


def main() -> None:
    spec, program = json.loads(sys.argv[1]), sys.argv[2:]
    for name, most in spec["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (most, most))
    prctl(PR_SET_NO_NEW_PRIVS, 1, None, "no_new_privs")
    if spec["landlock"] is not None:
        confine(**spec["landlock"])
    load(base64.b64decode(spec["filter"]), spec["stand_ins"])
    os.execve(program[0], program, spec["environment"])


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"{error.strerror}")
