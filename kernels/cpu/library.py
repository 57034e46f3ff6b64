"""The compiled library, found beside this file and loaded once."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

from gptoss_tui.kernels.cpu.build import HERE, SUFFIX, content, fingerprint

ABI = 1
"""The version of the interface that this program speaks; source/library.c has that of the library."""

_MEND = f"`{sys.executable} -m gptoss_tui.kernels.cpu.build` builds it"


class LibraryError(Exception):
    """Why there are no native kernels: one line, for `doctor` and the log."""


@cache
def load(folder: Path = HERE) -> ctypes.CDLL:
    """The library in `folder`. Raises LibraryError if it is missing, stale, damaged or not for this machine.

    A damaged file is not even tried: one that is cut may load, and end the process when what is gone is read.
    """
    there = sorted(folder.glob(f"native-*{SUFFIX}"))
    current = [path for path in there if path.name.startswith(f"native-{fingerprint()}-")]
    if not current:
        what = "was built from other sources than these" if there else "is not there"
        raise LibraryError(f"The native library {what}; {_MEND}.")
    path = current[-1]
    try:
        if content(path.read_bytes()) != path.stem.rpartition("-")[2]:
            raise LibraryError(f"The native library {path.name} is damaged; {_MEND} anew.")
        library = ctypes.CDLL(str(path))
        version = library.gptoss_abi()
    except OSError as error:
        raise LibraryError(
            f"The native library cannot be loaded: {error}; {_MEND} for this machine."
        ) from error
    except AttributeError as error:
        raise LibraryError(f"{path.name} is not our native library; {_MEND}.") from error
    if version != ABI:
        raise LibraryError(f"The native library is of version {version}, and not {ABI}; {_MEND} anew.")
    return library


def describe(folder: Path = HERE) -> str:
    """What is used, or why plain PyTorch is: one line."""
    try:
        level = load(folder).gptoss_best_level
    except LibraryError as error:
        return f"plain PyTorch. {error}"
    level.restype = ctypes.c_char_p
    return f"native, {level().decode()}"
