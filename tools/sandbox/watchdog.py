"""Limits of an untrusted program that no resource limit can set, watched from outside.

They are `tasks`, bytes of `memory`, and `bytes` and `files` in its writable `folders`, for all its processes
together; `files` in its `tmpfs`, where each costs memory; and the bytes of the disk that must stay `free`,
whoever fills it. The watch looks every fifth of a second, and so the bounds that protect the machine leave
room for the excess in that time.

Standard library only: see warden.py.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

INTERVAL = 0.2  # seconds between two looks
DEEPEST = 100  # folders within folders; a deeper tree may not be reachable by its paths


class Uncountable(Exception):
    """The contents of a folder cannot be measured."""


def wait(most: dict[str, Any]) -> str:
    """Watch the descendants of this process until they exceed a limit; returns the excess in words."""
    watch = Watch(most)
    while not (complaint := watch.complaint()):
        time.sleep(INTERVAL)
    return complaint


class Watch:
    """Looks repeatedly and cheaply: slow measurements, exact memory and long walks, are made less often."""

    def __init__(self, most: dict[str, Any]) -> None:
        self.most = most
        self.next_walk = 0.0
        # A folder that is already full must not keep a new program from tidying up.
        self.folders = {}
        for folder in most["folders"]:
            try:
                size, files = measure(folder)
            except Uncountable:
                continue  # the bound of the disk still holds
            self.folders[folder] = (max(most["bytes"], size * 11 // 10), max(most["files"], files * 11 // 10))
        # A disk that is nearly full already keeps half of its free space.
        self.free = {folder: tuple(number // 2 for number in left(folder)) for folder in most["folders"]}

    def complaint(self) -> str:
        """The exceeded limit, in words; empty if there is none."""
        processes = descendants()
        if sum(map(tasks_of, processes)) > self.most["tasks"]:
            return f"it ran more than {self.most['tasks']} processes and threads"
        # Shared pages count for each process; an exact count is made only where that exceeds the limit.
        if all(sum(map(size, processes)) > self.most["memory"] for size in (resident, proportional)):
            return f"it used more than {self.most['memory'] / 1e9:g} GB of memory"
        for place in self.most["tmpfs"]:
            if in_tmpfs(place, processes) > self.most["files"]:
                return f"it made more than {self.most['files']:,} files in {place}"
        return self.of_files()

    def of_files(self) -> str:
        for folder, (size, count) in self.free.items():
            try:
                now_size, now_count = left(folder)
            except OSError:
                continue  # it is removed at the end
            if now_size < min(size, self.most["free"]) or (now_count < min(count, self.most["files"])):
                return "the disk is nearly full"
        if (start := time.monotonic()) < self.next_walk:
            return ""
        for folder, (most, many) in self.folders.items():
            try:
                size, files = measure(folder, most, many)
            except Uncountable:
                return "its files cannot be counted: its folders lie too deep, or are closed to you"
            if size > most:
                return f"its files take more than {most / 1e9:g} GB"
            if files > many:
                return f"it made more than {many:,} files"
        # At most a tenth of the time is spent on walks.
        self.next_walk = start + 10 * (time.monotonic() - start)
        return ""


def left(folder: str) -> tuple[int, int]:
    """Free bytes and files on the disk of `folder`; a disk that does not count files has enough."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else sys.maxsize


def measure(folder: str, most: float = float("inf"), many: float = float("inf")) -> tuple[int, int]:
    """Bytes and number of the files below `folder`, or less where either already exceeds its bound.

    Raises Uncountable for a tree that is too deep, or has a folder that cannot be read.
    """
    size, files = 0, 0
    waiting = [(folder, 0)]
    while waiting and size <= most and files <= many:
        place, depth = waiting.pop()
        if depth > DEEPEST:
            raise Uncountable
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
        except (FileNotFoundError, NotADirectoryError):
            continue  # it has been removed meanwhile
        except OSError as error:
            raise Uncountable from error
    return size, files


def children(process: int) -> list[int]:
    """The processes that `process` started, or inherited, and has not waited for."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):  # noqa: PTH208
            with open(f"/proc/{process}/task/{thread}/children") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    except OSError:
        pass  # it has ended meanwhile, or the kernel lacks that file
    return found


def descendants() -> list[int]:
    found = children(os.getpid())
    for process in found:
        found += children(process)
    return found


def tasks_of(process: int) -> int:
    try:
        return len(os.listdir(f"/proc/{process}/task"))  # noqa: PTH208
    except OSError:
        return 0


def resident(process: int) -> int:
    """Bytes in memory, with the shared ones."""
    try:
        with open(f"/proc/{process}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def proportional(process: int) -> int:
    """Bytes in memory, shared ones divided by the number of sharers; undivided where that is unreadable."""
    try:
        with open(f"/proc/{process}/smaps_rollup") as file:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return resident(process)


def in_tmpfs(place: str, processes: list[int]) -> int:
    """The number of files in the file system at `place` for the program, deleted but open ones included."""
    for process in reversed(processes):
        try:
            inside = f"/proc/{process}/root{place}"
            if os.stat(inside).st_dev != os.stat(place).st_dev:  # noqa: PTH116
                disk = os.statvfs(inside)
                return disk.f_files - disk.f_ffree
        except OSError:
            continue
    return 0
