"""What confined code sees of this machine: the system's programs, the interpreter, and what is lent to it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

# The programs and libraries every distribution keeps here; readable by everyone, so never exposed twice.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder (or file) of this machine and the place where the program inside finds it."""

    source: Path
    target: Path
    writable: bool = False


def environment(temporary: str = "/tmp") -> dict[str, str]:
    """All that the program finds in its environment. Thread pools are small: threads cost address space."""
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


def interpreter() -> list[Folder]:
    """The running Python, each part at its own path: installation, environment, links between them."""
    parts: dict[Path, Path] = {}
    for prefix in (sys.base_prefix, sys.prefix):
        real = Path(prefix).resolve()
        parts |= {real: real, Path(prefix): real}
    link = Path(sys.executable)
    parts[link] = link.resolve()
    while link.is_symlink():
        link = link.parent / link.readlink()
        parts[link] = link.resolve()

    shown: list[Folder] = []
    for target, source in parts.items():
        covered = [*map(Path, SYSTEM), *(folder.target for folder in shown)]
        if not any(target.is_relative_to(place) for place in covered):
            shown.append(Folder(source, target))
    return shown
