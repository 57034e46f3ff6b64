"""The machine's resources for confined code, in tasks, bytes and files."""

from __future__ import annotations

import resource

MEGABYTE = 10**6

TASKS = 256  # processes and threads at once
OWN_TASKS = 16  # in addition, for the sandbox itself: bubblewrap's two, or a container's command
ADDRESS_SPACE = 4_000 * MEGABYTE  # of one process
MEMORY = 4_000 * MEGABYTE  # of all its processes together
FILE = 100 * MEGABYTE
DESCRIPTORS = 256  # of one process
TEMPORARY = 256 * MEGABYTE  # in /tmp
SHARED_MEMORY = 64 * MEGABYTE  # in /dev/shm

WORKSPACE = 1_000 * MEGABYTE
FILES = 20_000  # in the workspace, and as many again in /tmp
FREE_DISK = 1_000 * MEGABYTE  # of the workspace's disk that must stay free, whoever fills it

RESOURCES = {"as": ADDRESS_SPACE, "nproc": TASKS, "fsize": FILE, "nofile": DESCRIPTORS, "core": 0}
"""The limits of each process, by the name of the resource (RLIMIT_*, getrlimit(2))."""


def granted() -> dict[str, int]:
    """RESOURCES, or this process's own hard limits where these are lower: nothing is raised."""
    return {name: lower(name, most) for name, most in RESOURCES.items()}


def lower(name: str, most: int) -> int:
    """`most`, or this process's own hard limit of that resource if it is lower."""
    _, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    return most if hard == resource.RLIM_INFINITY else min(most, hard)
