"""The part of this machine that confined code sees: system programs, the interpreter, shared folders."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

# The programs and libraries of every distribution; everyone can read them, so they are never exposed twice.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
# Folders that the system's kernel generates, on no disk.
KERNELS = ("/dev", "/proc", "/sys")

# The parts of an installation of Python, or of an environment. Everything else in such a folder is the
# person's own: the project in which `python -m venv .` was run, for instance, or conda's other environments.
INSTALLATION = ("bin", "etc", "include", "lib", "lib32", "lib64", "libexec", "share", "ssl", "pyvenv.cfg")
# The folders of the person's own data, below the home folder, even if an installation has the same folder.
PERSONAL = (".", ".cache", ".config", ".local/share", ".local/state")

ENOUGH = 20  # entries of one folder for the canary to try


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder (or file) of this machine, and its place inside the sandbox."""

    source: Path
    target: Path
    writable: bool = False


def environment(temporary: str = "/tmp") -> dict[str, str]:
    """The program's whole environment. Thread pools are small, because threads cost address space."""
    return {
        "HOME": temporary,
        "IPYTHONDIR": f"{temporary}/.ipython",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "4",
        "OPENBLAS_NUM_THREADS": "4",
        "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "TERM": "dumb",
        "TMPDIR": temporary,
        "USER": "user",
    }


def interpreter() -> list[SharedFolder]:
    """The running Python, each part at its own path: installation, environment, links between them."""
    parts: dict[Path, Path] = {}
    for prefix in prefixes():
        for name in INSTALLATION:
            part = prefix / name
            if part.exists() and not _is_personal(source := part.resolve()):
                parts |= {source: source, part: source}
    link = Path(sys.executable)
    parts[link] = link.resolve()
    while link.is_symlink():
        link = link.parent / link.readlink()
        parts[link] = link.resolve()

    shown: list[SharedFolder] = []
    for target, source in parts.items():
        covered = [*map(Path, SYSTEM), *(folder.target for folder in shown)]
        if not any(target.is_relative_to(place) for place in covered):
            shown.append(SharedFolder(source, target))
    return shown


def prefixes() -> list[Path]:
    """The folders of the running Python, outer ones first: under the names it uses, and their real ones."""
    named = [Path(prefix) for prefix in (sys.base_prefix, sys.prefix)]
    every = [place for prefix in named for place in (prefix.resolve(), prefix)]
    return sorted(dict.fromkeys(every), key=lambda place: len(place.parts))


def objection() -> str:
    """Why the running Python cannot be shared without the person's files, and the remedy; empty if it can."""
    home = _home()
    for prefix, mend in (
        (sys.base_prefix, "with another Python than that"),
        (sys.prefix, "with `python3 -m venv ~/.venvs/gptoss-chat`, say"),
    ):
        if Path(prefix).resolve() == home:
            return (
                f"The Python that gptoss-chat runs in is spread over your home folder itself ({prefix}), and "
                "code that sees the one would see the other: "
                f"install gptoss-chat into an environment in a folder of its own, {mend}."
            )
    for place in SYSTEM:
        if home.is_relative_to(Path(place).resolve()):
            return f"Your home folder, {home}, lies in {place}, which code sees: set HOME to one elsewhere."
    return ""


def secrets_at_home() -> list[str]:
    """Places in the home folder that confined code must not read: those beside the shared ones."""
    lent = [place for folder in interpreter() for place in (folder.source, folder.target)]
    lent += [Path(place).resolve() for place in (*SYSTEM, *SYSTEM_FILES, *KERNELS)]
    return [str(place) for place in _beside(lent, _home())]


def _beside(lent: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Some entries of `folder`, and of the folders in it that lead to `lent` places."""

    def is_lent(entry: Path) -> bool:
        real = Path(os.path.realpath(entry))
        return any(real.is_relative_to(place) for place in lent)

    ways = {folder / place.relative_to(folder).parts[0] for place in lent if folder in place.parents}
    try:
        entries = sorted(set(folder.iterdir()) - ways)
    except OSError:
        return  # code cannot read more than we can
    yield from islice((entry for entry in entries if not is_lent(entry)), ENOUGH)
    for way in sorted(ways):
        if way.is_dir() and not way.is_symlink() and not is_lent(way):
            yield from _beside(lent, way)


def _home() -> Path:
    """The home folder by its real name; a path to no folder if the person has none."""
    return Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111  # Path.home raises


def _is_personal(part: Path) -> bool:
    """Whether `part` of an installation contains the person's own data: ~/.local/share, for instance."""
    return any(Path(_home(), place).is_relative_to(part) for place in PERSONAL)
