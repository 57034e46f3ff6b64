"""The number of threads worth starting, found without torch."""

from __future__ import annotations

import os
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """The value of OMP_NUM_THREADS, or one thread for each physical core that this process may run on.

    Hyper-threads of a core count once (they share its arithmetic); the CPU affinity and the CPU quota of a
    container are respected. Where the cores are unknown (not on Linux), half of the CPUs, at least one.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    if not hasattr(os, "sched_getaffinity"):
        return max(1, (os.cpu_count() or 1) // 2)
    cores = {_siblings(cpu) for cpu in os.sched_getaffinity(0)}
    return max(1, min(len(cores), _quota()))


def _siblings(cpu: int) -> str:
    """A text that all hyper-threads of one core have in common."""
    try:
        return (_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Whole CPUs that control group version 2 grants."""
    try:
        granted, period = _QUOTA.read_text().split()
        return max(1, int(granted) // int(period))
    except (OSError, ValueError):  # no such group, or "max"
        return os.cpu_count() or 1
