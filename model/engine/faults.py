"""Errors of the network, in words for a person. Those of torch are known without importing it."""

from __future__ import annotations

import re
import sys

from gptoss_tui.model.checkpoint import memory
from gptoss_tui.model.sampling import NumericalFault


def is_fatal(error: Exception) -> bool:
    """Whether this process has lost the device, so that only a new process can use it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.AcceleratorError)


def is_lack_of_memory(error: Exception) -> bool:
    """Whether memory ran out, of a card or of the machine (torch has no class of its own for the latter)."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def explain(error: Exception, device: str) -> str:
    """The failure and the remedy, in at most two lines."""
    if is_lack_of_memory(error):
        return f"{_shortage(error, device)}.\nStart a new conversation, or close other programs."
    if isinstance(error, NumericalFault):
        return f"Numerical fault on {device}: {error}.\nTry another --device, or fetch the checkpoint again."
    first = str(error).partition("\n")[0]
    return f"The engine failed: {type(error).__name__}: {first}\nIts log has the details."


def _shortage(error: Exception, device: str) -> str:
    wanted = re.search(r"(?:tried|unable) to allocate ([\d.]+) (bytes|\wiB)", str(error), re.IGNORECASE)
    asked = f", {_gib(*wanted.groups())} were asked for" if wanted else ""
    free = memory.available(device)
    left = f" ({free / 2**30:.1f} GiB free{asked})" if free is not None else ""
    return f"Not enough memory on {device}{left}"


def _gib(number: str, unit: str) -> str:
    """An amount of memory in words of torch or numpy, in GiB."""
    power = {"bytes": 0, "kib": 10, "mib": 20, "gib": 30}[unit.lower()]
    return f"{float(number) * 2**power / 2**30:.1f} GiB"
