"""Tracebacks for the model: its own lines and the error, without the frames of libraries."""

from __future__ import annotations

import re
from itertools import groupby

LIBRARY = re.compile(r"  File \S*/lib(?:64)?/python3[^:]*:\d+")
FRAME = re.compile(r"  (?:File|Cell) ")
OWN_FRAMES = 10


def _kind(block: str) -> str:
    if LIBRARY.match(block):
        return "library"
    return "own" if FRAME.match(block) else "text"


def trim(traceback: str) -> str:
    """IPython's "Plain" traceback with each run of library frames cut to its last, and deep recursion cut."""
    blocks = [block for block in re.split(r"\n\s*\n", traceback.rstrip()) if block.strip()]
    kept: list[str] = []
    for kind, run in groupby(blocks, _kind):
        frames = list(run)
        if kind == "library" and len(frames) > 1:
            frames = [f"  [… {len(frames) - 1} frames in libraries …]", frames[-1]]
        elif kind == "own" and len(frames) > OWN_FRAMES:
            half = OWN_FRAMES // 2
            frames = [*frames[:half], f"  [… {len(frames) - 2 * half} frames …]", *frames[-half:]]
        kept += frames
    return "\n".join(kept) + "\n"
