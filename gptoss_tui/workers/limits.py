"""What a child process may use."""

from __future__ import annotations

import resource


def limit(*, memory: int, cpu_seconds: int | None = None, writes: bool = False) -> None:
    """Bound what this very process may use, in bytes of address space and seconds; the kernel ends it beyond.

    Unless it `writes`, it may write to pipes only. A limit that is lower already stays.
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
