"""A seccomp filter as a program of the classic Berkeley packet filter: refusals in, bytes out.

The kernel runs the filter before every system call, on `struct seccomp_data`: the call's number at byte 0,
the architecture at 4, six arguments of 64 bits from 16 on. Filter machine: linux/bpf_common.h and
linux/filter.h; return values: seccomp(2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

LOAD, AND, RETURN = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_RET|K
EQUAL, AT_LEAST = 0x15, 0x35  # BPF_JMP|JEQ|K and JGE: `yes` or `no` instructions are skipped

NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets into seccomp_data

ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
ERRNO = 0x00050000  # SECCOMP_RET_ERRNO; the low 16 bits are the number
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS

X32 = 0x40000000  # __X32_SYSCALL_BIT: the second ABI of an x86-64 process
WORD = 0xFFFFFFFF
LONGEST = 4096  # BPF_MAXINSNS


@dataclass(frozen=True, slots=True)
class Instruction:
    """One `struct sock_filter`."""

    code: int
    k: int
    yes: int = 0
    no: int = 0


@dataclass(frozen=True, slots=True)
class When:
    """A condition on one half of an argument (the low one, unless `high`), counted from 0.

    It holds if the half, reduced to the bits of `mask`, is one of `values`; `unless` reverses it.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = WORD
    unless: bool = False
    high: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A system call, by number, that returns `errno` instead of running; always, or when `when` holds."""

    number: int
    errno: int
    when: When | None = None


def program(refusals: Iterable[Refusal], architecture: int, *, refuse_x32: bool) -> list[Instruction]:
    """The filter that makes `refusals` and passes every other call; foreign architectures are killed."""
    steps = [
        Instruction(LOAD, ARCHITECTURE),
        Instruction(EQUAL, architecture, yes=1),
        Instruction(RETURN, KILL),
        Instruction(LOAD, NUMBER),
    ]
    if refuse_x32:
        steps += [Instruction(AT_LEAST, X32, no=1), Instruction(RETURN, KILL)]
    for refusal in refusals:
        body = _body(refusal)
        steps += [Instruction(EQUAL, refusal.number, no=len(body)), *body]
    return [*steps, Instruction(RETURN, ALLOW)]


def _body(refusal: Refusal) -> list[Instruction]:
    """The instructions for a matching number; at their end, the accumulator has the number again."""
    refuse = Instruction(RETURN, ERRNO | refusal.errno)
    when = refusal.when
    if when is None:
        return [refuse]
    reduced = [Instruction(AND, when.mask)] if when.mask != WORD else []
    # A successful comparison jumps over the later ones, to the refusal or past it.
    last = len(when.values) - 1
    compared = [
        Instruction(EQUAL, value, yes=last - place + when.unless, no=int(place == last and not when.unless))
        for place, value in enumerate(when.values)
    ]
    half = Instruction(LOAD, ARGUMENTS + 8 * when.argument + 4 * when.high)
    return [half, *reduced, *compared, refuse, Instruction(LOAD, NUMBER)]


def assemble(steps: list[Instruction]) -> bytes:
    """The array of `struct sock_filter` that prctl(2) and bwrap's --seccomp take."""
    if len(steps) > LONGEST:
        raise ValueError(f"a filter of {len(steps)} instructions; the kernel takes {LONGEST}")
    return b"".join(struct.pack("=HBBI", step.code, step.yes, step.no, step.k) for step in steps)
