"""The process that reads one picture: `python -P -m gptoss_tui.tui.pictures.worker FILE LARGEST`.

It prints `pixels WIDTH HEIGHT`, a line break and the RGB bytes, or `error WHY`. It is a process of its own,
because the readers of picture formats are large and a hostile file may cost any amount of memory.
"""

from __future__ import annotations

import io
import os
import stat
import sys

from ...workers.limits import limit
from ...workers.parent import end_with_parent

CPU_SECONDS = 5
MEMORY = 1024 * 2**20  # bytes of address space
MOST_BYTES = 50 * 10**6
MOST_PIXELS = 50 * 10**6
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


class Unreadable(Exception):
    """A file cannot be read. The message says why, in a few words."""


def contents(path: str) -> bytes:
    """The bytes of a regular file. A link or a pipe in its place is not opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable(error.strerror or "it cannot be opened") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("it is no regular file")
        if status.st_size > MOST_BYTES:
            raise Unreadable(f"it has more than {MOST_BYTES // 10**6} MB")
        return file.read(MOST_BYTES)


def pixels(data: bytes, largest: int) -> tuple[int, int, bytes]:
    """The width, the height and the RGB bytes of the first frame, on white where it is transparent."""
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # MOST_PIXELS is our own limit
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise Unreadable(f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture") from error
    if image.width * image.height > MOST_PIXELS:
        raise Unreadable(f"it has more than {MOST_PIXELS // 10**6} million pixels")
    image.draft("RGB", (largest, largest))
    clear = image.convert("RGBA")
    clear.thumbnail((largest, largest))
    paper = Image.new("RGBA", clear.size, "white")
    paper.alpha_composite(clear)
    return paper.width, paper.height, paper.convert("RGB").tobytes()


def main() -> None:
    end_with_parent()
    limit(memory=MEMORY, cpu_seconds=CPU_SECONDS)
    path, largest = sys.argv[1], int(sys.argv[2])
    try:
        width, height, data = pixels(contents(path), largest)
    except Unreadable as error:
        sys.stdout.write(f"error {error}")
        return
    sys.stdout.buffer.write(f"pixels {width} {height}\n".encode() + data)


if __name__ == "__main__":
    main()
