"""A picture file into plain pixels, by a process that may be lost: the file was written by untrusted code."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from ..tools import child

TIME_LIMIT = 15.0  # seconds; the worker's own limit counts only while it is running
LARGEST = 1024  # pixels of a side; a picture is scaled down to it


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture without transparency: rows of RGB triples, from the top."""

    width: int
    height: int
    data: bytes


class PictureError(Exception):
    """The file cannot be shown; the message says why."""


async def read(path: Path) -> Pixels:
    """The picture in the file at `path`, scaled to at most LARGEST on a side. Raises PictureError."""
    arguments = str(path), str(LARGEST)
    process = await child.start(f"{__package__}.worker", *arguments, stdin=asyncio.subprocess.DEVNULL)
    assert process.stdout is not None
    output = b""
    try:
        async with asyncio.timeout(TIME_LIMIT):
            while piece := await process.stdout.read(2**18):
                output += piece
                if len(output) > 64 + 3 * LARGEST * LARGEST:
                    break
    except TimeoutError:
        output = b"error it takes too long to read\n"
    finally:
        await child.end(process)
    header, _, data = output.partition(b"\n")
    match header.split():
        case [b"pixels", width, height] if len(data) == 3 * int(width) * int(height):
            return Pixels(int(width), int(height), data)
        case [b"error", *_]:
            raise PictureError(header.removeprefix(b"error ").decode(errors="replace"))
    raise PictureError("it is damaged, or takes too much memory or time to read")
