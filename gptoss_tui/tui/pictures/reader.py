"""A picture file into plain pixels. Untrusted code wrote the file, so a process that may die reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...workers.child import ChildError
from ...workers.task import result_of

TIME_LIMIT = 15.0  # seconds; the worker's own limit counts only while it is running
LARGEST = 1024  # pixels of a side; a picture is scaled down to it


@dataclass(frozen=True, slots=True)
class Pixels:
    """A picture without transparency: rows of RGB triples, from the top."""

    width: int
    height: int
    data: bytes


class PictureError(Exception):
    """A file cannot be shown. The message says why."""


async def read(path: Path) -> Pixels:
    """The picture in the file at `path`, scaled to at most LARGEST on a side. Raises PictureError."""
    most = 64 + 3 * LARGEST * LARGEST
    worker = f"{__package__}.worker"
    try:
        output = await result_of(
            "the picture reader", worker, str(path), str(LARGEST), most=most, seconds=TIME_LIMIT
        )
    except TimeoutError as error:
        raise PictureError("it takes too long to read") from error
    except ChildError as error:
        raise PictureError(f"it cannot be read: {error}") from error
    header, _, data = output.partition(b"\n")
    match header.split():
        case [b"pixels", width, height] if len(data) == 3 * int(width) * int(height):
            return Pixels(int(width), int(height), data)
        case [b"error", *_]:
            raise PictureError(header.removeprefix(b"error ").decode(errors="replace"))
    raise PictureError("it is damaged, or takes too much memory or time to read")
