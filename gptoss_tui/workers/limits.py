"""Limits of a child process's resources."""

from __future__ import annotations

import resource


def limit(*, memory: int, cpu_seconds: int | None = None, writes: bool = False) -> None:
    """Bound the address space of this process, in bytes, and its CPU time; beyond, the kernel ends it.

    Unless it `writes`, it may write to pipes only. A limit that is already lower stays.
    """
    bounds = {resource.RLIMIT_AS: memory, resource.RLIMIT_CORE: 0}
    if cpu_seconds is not None:
        bounds[resource.RLIMIT_CPU] = cpu_seconds
    if not writes:
        bounds[resource.RLIMIT_FSIZE] = 0
    for kind, most in bounds.items():
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
